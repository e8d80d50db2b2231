//! The transaction of a unit on SQLite. Every message that ends it uses up the marker first.
//!
//! There is no second marker. Between two statements of a message, only an error can end a transaction of SQLite, and
//! the message stops at the error.

use diesel::connection::SimpleConnection as _;
use diesel::{QueryResult, SqliteConnection};
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};

use crate::backend::sqlite::pragma::{number, written};
use crate::backend::sqlite::{SCHEMA, attach, begin, identity, outer, probe};
use crate::backend::{
    LoneCommitFault, PriorState, SavepointStep, Terms, TransactionState, UnitDialect, Unseen,
    internals, sql,
};
use crate::commit::{Asked, Decision, Fault, Identified, Outcome};
use crate::gid::Branch;

impl<S> UnitDialect for SyncConnectionWrapper<SqliteConnection, S>
where
    S: SpawnBlocking + Send + 'static,
{
    async fn begin(&mut self, terms: &Terms) -> QueryResult<PriorState> {
        let terms = terms.clone();
        self.spawn_blocking(move |connection| begin::begin(connection, &terms))
            .await
    }

    async fn savepoint(&mut self, step: SavepointStep, depth: usize) -> QueryResult<()> {
        let step = sql::savepoint_step(step, depth);
        self.spawn_blocking(move |connection| connection.batch_execute(&step))
            .await
    }

    /// Returns `true`: after `ON CONFLICT ROLLBACK`, `RAISE(ROLLBACK)` or a full disk, later writes would commit by
    /// themselves.
    fn errors_end_transaction(_: &Terms) -> bool {
        true
    }

    async fn verify(&mut self, terms: &Terms) -> Result<TransactionState, Fault> {
        let prior = terms.prior;
        self.spawn_blocking(move |connection| Ok(probe::verify(connection, &prior)))
            .await
            .map_err(Fault::Lost)?
    }

    async fn ask(&mut self, terms: &Terms) -> Result<Asked, Fault> {
        let before = terms.prior.written;
        let wrote = self
            .spawn_blocking(move |connection| Ok(written(connection)? != before))
            .await
            .map_err(Fault::Refused)?;
        Ok(Asked {
            wrote,
            serializable: false,
        })
    }

    async fn identify(&mut self, terms: &Terms) -> Result<Identified, Fault> {
        let terms = terms.clone();
        self.spawn_blocking(move |connection| Ok(identity::identify(connection, &terms)))
            .await
            .map_err(Fault::Refused)?
    }

    async fn prepare(&mut self, _: &Terms, _: &Branch) -> Result<(), Fault> {
        unreachable!("a plan never prepares SQLite: `inspect` says that it cannot")
    }

    async fn commit(&mut self, terms: &Terms) -> Result<Option<i64>, LoneCommitFault> {
        let terms = terms.clone();
        self.spawn_blocking(move |connection| Ok(commit(connection, &terms)))
            .await
            .unwrap_or_else(|error| Err(Fault::Lost(error)))
            .map(|()| None)
            .map_err(LoneCommitFault::from)
    }

    async fn decide(&mut self, terms: &Terms, decision: &Decision) -> Result<(), Fault> {
        let message = format!(
            "RELEASE {}; {}; COMMIT",
            sql::marker(terms),
            sql::insert_decision(SCHEMA, decision, "true"),
        );
        let terms = terms.clone();
        self.spawn_blocking(move |connection| Ok(send(connection, &terms, &message)))
            .await
            .map_err(Fault::Lost)?
    }

    async fn finish(&mut self, _: &Terms, _: &Branch, _: Outcome) -> QueryResult<()> {
        unreachable!("a plan never prepares SQLite: `inspect` says that it cannot")
    }

    async fn rollback(&mut self, terms: &Terms, unseen: Unseen) -> Result<(), Fault> {
        let terms = terms.clone();
        self.spawn_blocking(move |connection| Ok(roll_back(connection, &terms, unseen)))
            .await
            .map_err(Fault::Lost)?
    }
}

/// Commits the only writer, or a reader.
fn commit(connection: &mut SqliteConnection, terms: &Terms) -> Result<(), Fault> {
    if terms.read_only
        && (number(
            connection,
            "SELECT query_only AS value FROM pragma_query_only",
        )
        .map_err(Fault::Refused)?
            == 0
            || written(connection).map_err(Fault::Refused)? != terms.prior.written)
    {
        roll_back(connection, terms, Unseen::Nothing)?;
        return Err(Fault::Refused(attach::refusal(
            "the read-only unit has written, or a statement has made it writable".to_owned(),
        )));
    }
    let message = format!("RELEASE {}; COMMIT", sql::marker(terms));
    send(connection, terms, &message)
}

/// Rolls back, or undoes the savepoint of a unit within an outer transaction.
fn roll_back(
    connection: &mut SqliteConnection,
    terms: &Terms,
    unseen: Unseen,
) -> Result<(), Fault> {
    if terms.within_outer {
        return outer::undo(connection, terms).map_err(Fault::Refused);
    }
    if unseen != Unseen::Nothing
        && let Err(error) = connection.batch_execute(&format!("RELEASE {}", sql::marker(terms)))
    {
        return Err(if sql::mentions_marker(&error) {
            Fault::TransactionEnded(error)
        } else {
            Fault::Refused(error)
        });
    }
    let result = connection.batch_execute("ROLLBACK");
    begin::put_back(connection, terms).map_err(Fault::Refused)?;
    result.map_err(Fault::Refused)?;
    internals::reset(internals::sqlite_status(connection));
    Ok(())
}

/// Sends the last message of a transaction. A `COMMIT` that fails leaves the transaction open.
fn send(connection: &mut SqliteConnection, terms: &Terms, message: &str) -> Result<(), Fault> {
    let Err(error) = connection.batch_execute(message) else {
        internals::reset(internals::sqlite_status(connection));
        // The transaction is committed. A connection that keeps a setting of the unit is closed, no more.
        if let Err(error) = begin::put_back(connection, terms) {
            tracing::debug!(%error, "a setting of SQLite could not be put back");
            internals::sqlite_status(connection).set_in_error();
        }
        return Ok(());
    };
    let ended = sql::mentions_marker(&error);
    let rolled_back = roll_back(connection, terms, Unseen::Nothing);
    Err(match rolled_back {
        _ if ended => Fault::TransactionEnded(error),
        Ok(()) => Fault::Refused(error),
        Err(_) => Fault::Lost(error),
    })
}
