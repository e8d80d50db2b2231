//! The transaction of a unit on SQLite. Every message that ends it uses up the marker first.
//!
//! There is no second marker. Between two statements of a message, only an error can end a transaction of SQLite, and
//! the message stops at the error.

use diesel::connection::SimpleConnection as _;
use diesel::sql_types::Untyped;
use diesel::{QueryResult, RunQueryDsl as _, SqliteConnection};
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};

use crate::backend::message::sql;
use crate::backend::sqlite::pragma::{kept, number, written};
use crate::backend::sqlite::{attach, begin, identity, outer, probe};
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
        let (terms, decision) = (terms.clone(), decision.clone());
        self.spawn_blocking(move |connection| {
            let decided = decide(connection, &terms, &decision);
            Ok(ended(connection, &terms, decided))
        })
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
    let committed = connection.batch_execute(&message);
    ended(connection, terms, committed)
}

/// Records that the unit commits, as [`sql::insert_decision`] does. The values are the unit, the id of the holder, the
/// namespace, the unit, the participants and the namespace.
const INSERT_DECISION: &str = "\
    INSERT INTO main.diesel_binds_decision (unit, outcome, participants, namespace) VALUES (\
        (SELECT ? FROM main.diesel_binds_meta WHERE holder_id = ? AND NOT EXISTS (SELECT 1 FROM \
            main.diesel_binds_horizon h WHERE h.namespace = ? AND h.unit >= ?)), 'commit', ?, ?)";

/// Commits the unit together with the record of its commit.
fn decide(
    connection: &mut SqliteConnection,
    terms: &Terms,
    Decision { gid, participants }: &Decision,
) -> QueryResult<()> {
    connection.batch_execute(&format!("RELEASE {}", sql::marker(terms)))?;
    let unit = gid.unit.to_string();
    let holder = gid.holder_id.to_string();
    let participants = sql! { sql::Participants(participants) };
    let namespace = &*gid.namespace;
    let values = [
        &*unit,
        &*holder,
        namespace,
        &*unit,
        &*participants,
        namespace,
    ];
    kept::<Untyped>(INSERT_DECISION, &values).execute(connection)?;
    connection.batch_execute("COMMIT")
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

/// Handles the result of the last message of a transaction. A `COMMIT` that fails leaves the transaction open.
fn ended(
    connection: &mut SqliteConnection,
    terms: &Terms,
    result: QueryResult<()>,
) -> Result<(), Fault> {
    let Err(error) = result else {
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
