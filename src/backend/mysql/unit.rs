//! The transaction of a unit on MySQL and MariaDB. Every message that ends it uses up the marker first.

use std::io;

use diesel::result::{DatabaseErrorKind, Error};
use diesel::{QueryResult, sql_query};
use diesel_async::{
    AnsiTransactionManager, AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection as _,
};

use crate::backend::identify::{for_unit, identified};
use crate::backend::message::{Part, sql};
use crate::backend::mysql::flavour::Flavour;
use crate::backend::mysql::inspect::NOT_DETACHED;
use crate::backend::mysql::probe::{Wrote, mentions_rollback};
use crate::backend::mysql::writes::{
    CLEAR_WARNINGS, NonTransactionalCheck, counts_writes, fail_unless,
};
use crate::backend::mysql::{Flag, begin, inspect, is_branch, outer, probe, tables, verb, xid};
use crate::backend::{
    Dialect as _, LoneCommitFault, PriorState, SavepointStep, Terms, TransactionState, UnitDialect,
    Unseen, internals, sql,
};
use crate::commit::{Asked, Decision, Fault, Identified, Outcome};
use crate::gid::{Branch, Gid};

/// The number of attempts to roll back while the statements before the roll-back are cancelled.
const ATTEMPTS: usize = 3;

impl UnitDialect for AsyncMysqlConnection {
    async fn begin(&mut self, terms: &Terms) -> QueryResult<PriorState> {
        AnsiTransactionManager::begin_transaction_sql(self, &begin::begin(terms)).await?;
        Ok(PriorState::default())
    }

    async fn savepoint(&mut self, step: SavepointStep, depth: usize) -> QueryResult<()> {
        self.batch_execute(&sql::savepoint_step(step, depth)).await
    }

    /// Returns whether the unit is in an outer transaction. A plain transaction of its own runs without autocommit, and
    /// a branch takes no `COMMIT`.
    fn autocommits(terms: &Terms) -> bool {
        terms.within_outer && !terms.sandboxed
    }

    /// Returns whether the unit is in an outer transaction. A deadlock rolls that back, after which MySQL commits each
    /// statement by itself.
    fn errors_end_transaction(terms: &Terms) -> bool {
        terms.within_outer
    }

    async fn verify(&mut self, terms: &Terms) -> Result<TransactionState, Fault> {
        probe::verify(self, terms).await
    }

    /// Returns whether the writes are counted: the counters must have been read at the begin.
    fn can_ask(terms: &Terms, _: bool) -> bool {
        terms.verify_reads
    }

    /// Returns that it wrote if its writes are not counted.
    async fn ask(&mut self, terms: &Terms) -> Result<Asked, Fault> {
        let wrote = if counts_writes(terms) {
            let asked = Wrote::of(terms).get_result(self).await;
            asked.map_err(Fault::Refused)?
        } else {
            true
        };
        Ok(Asked {
            wrote,
            serializable: false,
        })
    }

    async fn durable(&mut self, terms: &Terms) -> Result<Option<bool>, Fault> {
        let durability = inspect::durability(self, terms).await;
        terms.accept(durability.map_err(Fault::Refused)?)
    }

    async fn identify(&mut self, terms: &Terms) -> Result<Identified, Fault> {
        let schema = &terms.server.schema;
        let query = for_unit(&tables::meta_for_writer(schema), schema, terms);
        identified(sql_query(query).load(self).await)
    }

    async fn prepare(&mut self, terms: &Terms, branch: &Branch) -> Result<(), Fault> {
        let Gid {
            unit,
            holder,
            holder_id,
            namespace,
        } = &branch.gid;
        let (xid, schema, bind) = (xid(terms), &terms.server.schema, &branch.bind);
        let stands = sql! {
            "EXISTS (SELECT 1 FROM ", schema, "diesel_binds_branch WHERE unit = '", unit, "' AND branch = '", bind,
            "' AND holder = '", holder, "' AND holder_id = '", holder_id,
            "' AND connection_id = @diesel_binds_connection AND namespace = '", namespace, "')",
        };
        let message = sql! {
            "RELEASE SAVEPOINT ", sql::marker(terms), begin::put_back(terms), "; ", NonTransactionalCheck,
            "; INSERT INTO ", schema,
            "diesel_binds_branch (unit, branch, holder, holder_id, connection_id, parts, namespace) VALUES (IF(",
            may_record(terms), may_prepare(terms), ", '", unit, "', NULL), '", bind, "', '", holder, "', '", holder_id,
            "', @diesel_binds_connection, ", i64::from(branch.parts), ", '", namespace, "'); ", fail_unless(stands),
            "; XA END ", xid, "; XA PREPARE ", xid,
        };
        match self.batch_execute(&message).await {
            Ok(()) => Ok(()),
            Err(error) => Err(explain_prepare(self, terms, error).await),
        }
    }

    async fn commit(&mut self, terms: &Terms) -> Result<Option<i64>, LoneCommitFault> {
        let message = commit_message(terms);
        let Err(error) = self.batch_execute(&message).await else {
            internals::reset(internals::status(self));
            return Ok(None);
        };
        let marker_gone = sql::mentions_marker(&error);
        let fault = match self.rollback(terms, Unseen::Nothing).await {
            Err(Fault::NonTransactional(_)) => Fault::NonTransactional(error),
            // The branch could still be rolled back, so it did not commit, whichever statement failed.
            Ok(()) if is_branch(terms) => Fault::Refused(error),
            Ok(()) if marker_gone => Fault::TransactionEnded(error),
            // A proxy that has lost its server may go on with another session, where a roll-back succeeds without an
            // effect.
            Ok(()) if probe::is_same_session(self, terms).await => Fault::Refused(error),
            Ok(()) => Fault::Lost(error),
            Err(_) if marker_gone && self.ping(terms).await.is_ok() => {
                Fault::TransactionEnded(error)
            }
            Err(_) if mentions_rollback(&error) && self.ping(terms).await.is_ok() => {
                Fault::Refused(error)
            }
            Err(_) if was_never_sent(&error) => Fault::Unreached(error),
            // The connection is lost, and the outcome is unknown.
            Err(_) => Fault::Lost(error),
        };
        Err(fault.into())
    }

    async fn decide(&mut self, terms: &Terms, decision: &Decision) -> Result<(), Fault> {
        let schema = &terms.server.schema;
        let stands = sql::decision_stands(schema, decision);
        let commit = CommitStatement {
            terms,
            row: Some(&stands),
        };
        let message = sql! {
            "RELEASE SAVEPOINT ", sql::marker(terms), begin::put_back(terms), "; ", NonTransactionalCheck,
            "; ", sql::insert_decision(schema, decision, may_record(terms)),
            "; ", fail_unless(&stands), "; ", commit,
        };
        match self.batch_execute(&message).await {
            Ok(()) => {
                internals::reset(internals::status(self));
                Ok(())
            }
            Err(error) => Err(explain(self, error).await),
        }
    }

    async fn finish(&mut self, terms: &Terms, _: &Branch, outcome: Outcome) -> QueryResult<()> {
        let (verb, xid) = (verb(outcome), xid(terms));
        let put_back = begin::put_back_autocommit(terms);
        self.batch_execute(&format!("XA {verb} {xid}{put_back}"))
            .await?;
        internals::reset(internals::status(self));
        Ok(())
    }

    /// Returns whether this is a node of a cluster, and still the session of the unit: only another server behind a proxy
    /// would have another one.
    async fn was_rolled_back(&mut self, terms: &Terms) -> bool {
        terms.server.is_node && probe::is_same_session(self, terms).await
    }

    async fn rollback(&mut self, terms: &Terms, unseen: Unseen) -> Result<(), Fault> {
        if terms.within_outer {
            return outer::undo(self, terms).await.map_err(Fault::Refused);
        }
        // The name of a branch is its marker.
        if unseen != Unseen::Nothing && !is_branch(terms) {
            let message = format!("RELEASE SAVEPOINT {}", sql::marker(terms));
            self.batch_execute(&message).await.map_err(|error| {
                if sql::mentions_marker(&error) {
                    Fault::TransactionEnded(error)
                } else {
                    Fault::Refused(error)
                }
            })?;
        }
        if is_branch(terms) {
            let xid = xid(terms);
            // A branch that is prepared, or that the server has marked for roll-back, takes no `XA END`.
            let message = format!("{CLEAR_WARNINGS}; XA END {xid}");
            let mut ended = self.batch_execute(&message).await;
            for _ in 1..ATTEMPTS {
                // The first statement may have been cancelled. Without it, a changed table without transactions is not
                // seen.
                match &ended {
                    Err(error) if !probe::mentions_rollback(error) => {}
                    _ => break,
                }
                ended = self.batch_execute(&message).await;
            }
            if let Err(error) = &ended {
                tracing::trace!(%error, bind = terms.bind, "XA END before a rollback");
            }
            // Settings are restored last: a branch that has ended, or is prepared, takes no `SET`.
            let undo = format!("XA ROLLBACK {xid}");
            let put_back = format!(
                "{}{}",
                begin::put_back_autocommit(terms),
                begin::put_back(terms)
            );
            undo_all(self, &undo, &put_back, ended.is_ok()).await?;
        } else {
            let put_back = format!("{}{}", begin::PUT_BACK_AUTOCOMMIT, begin::put_back(terms));
            let undo = format!("{CLEAR_WARNINGS}; ROLLBACK");
            let mut undone = undo_all(self, &undo, &put_back, true).await;
            for _ in 1..ATTEMPTS {
                if undone.is_ok() || !probe::is_open(self).await {
                    break;
                }
                undone = undo_all(self, &undo, &put_back, true).await;
            }
            undone?;
        }
        internals::reset(internals::status(self));
        Ok(())
    }
}

/// Writes the message that uses up the marker, restores the settings from before the begin, and commits.
fn commit_message(terms: &Terms) -> String {
    let put_back = begin::put_back(terms);
    let commit = CommitStatement { terms, row: None };
    // The commit of a plain transaction uses up both markers.
    if put_back.is_empty() && !is_branch(terms) {
        return sql! { commit };
    }
    sql! { "RELEASE SAVEPOINT ", sql::marker(terms), put_back, "; ", commit }
}

/// The statement that commits the transaction if it is still that of the unit. A server may end a transaction between
/// two statements of a message, and run the next in another one. A branch is identified by its name, and a plain
/// transaction by the second marker.
struct CommitStatement<'t> {
    terms: &'t Terms,
    /// The condition that the last row of the transaction is there, if it has one.
    row: Option<&'t str>,
}

impl Part for CommitStatement<'_> {
    fn append_to(&self, message: &mut String) {
        let Self { terms, row } = self;
        if is_branch(terms) {
            let xid = xid(terms);
            let put_back = begin::put_back_autocommit(terms);
            sql! { message; "XA END ", xid, "; XA COMMIT ", xid, " ONE PHASE", put_back }
            return;
        }
        // MariaDB keeps the connection read-only if a transaction is not ended by `COMMIT` or `ROLLBACK`. A read-only
        // transaction has nothing to lose between the two statements. For others, a `COMMIT` before it would leave room
        // for a failure between the two.
        sql! { message; "RELEASE SAVEPOINT ", sql::last_marker(terms), "; " }
        if terms.read_only {
            sql! { message; "COMMIT", begin::PUT_BACK_AUTOCOMMIT }
        } else {
            sql! { message; begin::commit_by_autocommit(terms, *row) }
        }
    }
}

/// Returns the condition that a row of the protocol may be inserted. Outside of the unit's branch it would be committed
/// at once, if the connection is not without autocommit.
fn may_record(terms: &Terms) -> &'static str {
    match (is_branch(terms), Flavour::of(terms)) {
        (true, Flavour::MariaDb) => "@diesel_binds_warnings = 0 AND @@in_transaction = 1",
        _ => "@diesel_binds_warnings = 0",
    }
}

/// Returns the further condition that a branch may be prepared. The setting may be another one than when the server was
/// inspected. With `OFF`, a branch belongs to its connection while that lives, and may be lost afterwards.
fn may_prepare(terms: &Terms) -> &'static str {
    match Flavour::of(terms) {
        Flavour::MariaDb => "",
        Flavour::MySql => " AND @@SESSION.xa_detach_on_prepare = 1",
    }
}

/// Returns the reason why a prepare failed.
async fn explain_prepare(
    connection: &mut AsyncMysqlConnection,
    terms: &Terms,
    error: Error,
) -> Fault {
    match explain(connection, error).await {
        Fault::Refused(_)
            if Flavour::of(terms) == Flavour::MySql
                && inspect::is_attached(connection).await.unwrap_or(false) =>
        {
            let message = format!("{NOT_DETACHED}; it was on when the server was last asked");
            Fault::Refused(Error::DatabaseError(
                DatabaseErrorKind::Unknown,
                Box::new(message),
            ))
        }
        fault => fault,
    }
}

/// Rolls back, and restores settings. With `counts_warnings`, fails if the server warned of the roll-back: the
/// transaction had changed a table without transactions. A message that fails before the roll-back leaves it to the
/// server, which rolls back when the connection is closed.
async fn undo_all(
    connection: &mut AsyncMysqlConnection,
    undo: &str,
    put_back: &str,
    counts_warnings: bool,
) -> Result<(), Fault> {
    if !counts_warnings {
        let message = format!("{undo}{put_back}");
        return connection
            .batch_execute(&message)
            .await
            .map_err(Fault::Refused);
    }
    let message = format!(
        "{undo}; SET @diesel_binds_warnings = @@warning_count{put_back}; {}",
        fail_unless("@diesel_binds_warnings = 0")
    );
    match connection.batch_execute(&message).await {
        Ok(()) => Ok(()),
        Err(error) => Err(match explain(connection, error).await {
            Fault::TransactionEnded(error)
            | Fault::Unreached(error)
            | Fault::Lost(error)
            | Fault::Refused(error) => Fault::Refused(error),
            fault => fault,
        }),
    }
}

/// Returns the reason why the last message of a transaction failed, as far as the connection can still be asked.
async fn explain(connection: &mut AsyncMysqlConnection, error: Error) -> Fault {
    if sql::mentions_marker(&error) {
        return Fault::TransactionEnded(error);
    }
    let warned: QueryResult<Flag> =
        sql_query("SELECT COALESCE(@diesel_binds_warnings, 0) > 0 AS flag")
            .get_result(connection)
            .await;
    match warned {
        Ok(Flag { flag: true }) => Fault::NonTransactional(error),
        Ok(Flag { flag: false }) => Fault::Refused(error),
        Err(_) if was_never_sent(&error) => Fault::Unreached(error),
        Err(_) => Fault::Lost(error),
    }
}

/// Returns whether a message could not be written: a server runs a message only after it has read all of it.
///
/// The driver passes on only the text of the error, and only a write to a socket fails in this way.
fn was_never_sent(error: &Error) -> bool {
    let Error::DatabaseError(_, information) = error else {
        return false;
    };
    let message = information.message();
    let Some((_, code)) = message.rsplit_once("(os error ") else {
        return false;
    };
    code.strip_suffix(')')
        .and_then(|code| code.parse().ok())
        .is_some_and(|code| io::Error::from_raw_os_error(code).kind() == io::ErrorKind::BrokenPipe)
}
