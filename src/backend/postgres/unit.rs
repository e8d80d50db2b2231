//! The transaction of a unit on PostgreSQL. Every message that ends it uses up the marker first.

use diesel::{QueryResult, sql_query};
use diesel_async::{
    AnsiTransactionManager, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _,
};

use crate::backend::identify::{for_unit, identified};
use crate::backend::message::{Part, sql};
use crate::backend::postgres::begin::begin;
use crate::backend::postgres::lineage::Current;
use crate::backend::postgres::marker::{IsMarked, MARKER_LOST, UseUpMarker};
use crate::backend::postgres::message::{fault, is_of_server, run};
use crate::backend::postgres::probe::{ShowMarker, current_setting, txid_current_if_assigned};
use crate::backend::postgres::role::LeaveRole;
use crate::backend::postgres::{SCHEMA, inspect, outer, prepared, tables};
use crate::backend::{
    Dialect as _, LoneCommitFault, PriorState, SavepointStep, Terms, TransactionId,
    TransactionState, UnitDialect, Unseen, internals, sql,
};
use crate::commit::{Asked, Decision, Fault, Identified, Outcome};
use crate::gid::Branch;

/// The error of a decision whose row a trigger or rule has dropped or changed.
const NOT_KEPT: &str = "diesel_binds: the row of the decision was not kept";

/// Fails if a statement in text has made the transaction of a read-only unit writable, or has written: only a
/// transaction that wrote has an id.
const STILL_READ_ONLY: &str = "; SELECT CAST(CASE WHEN pg_catalog.current_setting('transaction_read_only') = 'on' \
     AND pg_catalog.txid_current_if_assigned() IS NULL THEN '1' \
     ELSE 'diesel_binds: the read-only unit has written, or a statement has made it writable' END AS pg_catalog.int4)";

/// The last statement before the end of a transaction that must be durable. Fails unless the marker is there and
/// `stands` holds. Makes the end wait until it is durable, also on the configured synchronous standbys; a prepare needs
/// this as much as a decision.
///
/// Neither `statement_timeout` nor `transaction_timeout` cuts that wait short: the server disables them before it.
struct Confirmed<'t, S>(&'t Terms, S);

impl<S: Part> Part for Confirmed<'_, S> {
    fn append_to(&self, message: &mut String) {
        let Self(terms, stands) = self;
        // Only nested `CASE`s have a fixed order of evaluation.
        sql! {
            message; "SELECT CAST(CASE WHEN NOT ", IsMarked(terms), " THEN '", MARKER_LOST,
            "' WHEN NOT ", stands, " THEN '", NOT_KEPT,
            "' WHEN pg_catalog.current_setting('synchronous_commit') NOT IN ('off', 'local', 'remote_write') THEN '1' \
             ELSE CASE pg_catalog.set_config('synchronous_commit', 'on', true) WHEN 'on' THEN '1' END END \
             AS pg_catalog.int4)",
        }
    }
}

impl UnitDialect for AsyncPgConnection {
    async fn begin(&mut self, terms: &Terms) -> QueryResult<PriorState> {
        AnsiTransactionManager::begin_transaction_sql(self, &begin(terms)).await?;
        Ok(PriorState::default())
    }

    async fn savepoint(&mut self, step: SavepointStep, depth: usize) -> QueryResult<()> {
        self.batch_execute(&sql::savepoint_step(step, depth)).await
    }

    async fn verify(&mut self, terms: &Terms) -> Result<TransactionState, Fault> {
        internals::verify_depth(internals::status(self), &terms.prior)?;
        let marker: QueryResult<String> = ShowMarker.get_result(self).await;
        match marker {
            Ok(marker) if marker == terms.marker().to_string() => Ok(TransactionState::Marked),
            Ok(_) => Err(Fault::TransactionEnded(
                diesel::result::Error::NotInTransaction,
            )),
            // The application has removed the prepared statements, the connection behind a pooler is another one, or
            // the transaction is aborted. Only an aborted transaction cannot write.
            Err(_) => match run(self, &UseUpMarker(terms).to_string()).await {
                Ok(()) => Ok(TransactionState::Marked),
                // An aborted transaction answers nothing, keeps nothing, and accepts no other statement.
                Err(Fault::Refused(_)) => Ok(TransactionState::Aborted),
                Err(fault) => Err(fault),
            },
        }
    }

    /// Returns `false` for a savepoint: PostgreSQL reports only writes of the whole transaction.
    fn can_ask(terms: &Terms, trusts_reads: bool) -> bool {
        !terms.within_outer && !trusts_reads
    }

    async fn ask(&mut self, _: &Terms) -> Result<Asked, Fault> {
        let (transaction, isolation): (Option<i64>, String) = diesel::select((
            txid_current_if_assigned(),
            current_setting("transaction_isolation"),
        ))
        .get_result(self)
        .await
        .map_err(Fault::Refused)?;
        Ok(Asked {
            wrote: transaction.is_some(),
            serializable: isolation == "serializable",
        })
    }

    async fn durable(&mut self, terms: &Terms) -> Result<Option<bool>, Fault> {
        let durability = inspect::durability(self).await;
        terms.accept(durability.map_err(Fault::Refused)?)
    }

    async fn identify(&mut self, terms: &Terms) -> Result<Identified, Fault> {
        // A role of the unit may not be allowed to read the tables of the protocol. Only the transaction has the role
        // that was set before.
        let message = format!("{}; {}", UseUpMarker(terms), LeaveRole(terms));
        run(self, &message).await?;
        let query = for_unit(&tables::meta_for_writer(), SCHEMA, terms);
        identified(sql_query(query).load(self).await)
    }

    async fn prepare(&mut self, terms: &Terms, branch: &Branch) -> Result<(), Fault> {
        // After `SET LOCAL ROLE` the prepared transaction would belong to that role, and could never be finished here.
        // The marker is also checked last: outside of a transaction, `PREPARE TRANSACTION` prepares nothing, and is no
        // error in such a message.
        let message = sql! {
            UseUpMarker(terms), "; ", LeaveRole(terms), "; ", Confirmed(terms, "true"),
            "; PREPARE TRANSACTION '", branch, "'",
        };
        run(self, &message).await?;
        internals::reset(internals::status(self));
        Ok(())
    }

    /// Returns the start time of the server.
    async fn commit(&mut self, terms: &Terms) -> Result<Option<i64>, LoneCommitFault> {
        let still_read_only = match terms.read_only {
            true => STILL_READ_ONLY,
            false => "",
        };
        let message = sql! { UseUpMarker(terms), still_read_only, "; COMMIT" };
        let (transaction, reply) = {
            // Both requests are sent at once. The id comes back even if a crash during the commit loses that reply. On
            // first use, the statement of the id must be prepared on the connection, and its answer comes too late.
            // Then the fate of exactly this commit cannot be found if its reply is lost; nothing else is affected.
            let (mut asking, mut committing) = (&*self, &*self);
            tokio::join!(
                Current.get_result::<(Option<i64>, i64)>(&mut asking),
                committing.batch_execute(&message),
            )
        };
        let Err(error) = reply else {
            internals::reset(internals::status(self));
            return Ok(transaction.ok().map(|(_, started)| started));
        };
        // If the connection still answers, the error is the reply of the server, which committed nothing.
        let fault = match self.rollback(terms, Unseen::Nothing).await {
            Ok(()) => fault(self, error),
            Err(_) => match transaction {
                // The server replies in order, and does not reach the commit after an error.
                Err(refusal) if is_of_server(&refusal) && Self::errors_are_final(&terms.server) => {
                    return Err(Fault::Unreached(refusal).into());
                }
                _ if is_of_server(&error) => Fault::Lost(error),
                _ => fault(self, error),
            },
        };
        let reported = transaction.ok();
        Err(LoneCommitFault {
            fault,
            transaction: reported
                .and_then(|(id, started)| Some(TransactionId { id: id?, started })),
        })
    }

    async fn decide(&mut self, terms: &Terms, decision: &Decision) -> Result<(), Fault> {
        let message = sql! {
            UseUpMarker(terms), "; ", LeaveRole(terms),
            "; ", sql::insert_decision(SCHEMA, decision, IsMarked(terms)),
            "; ", Confirmed(terms, sql::decision_stands(SCHEMA, decision)), "; COMMIT",
        };
        run(self, &message).await?;
        internals::reset(internals::status(self));
        Ok(())
    }

    async fn finish(&mut self, _: &Terms, branch: &Branch, outcome: Outcome) -> QueryResult<()> {
        prepared::finish(self, branch, outcome).await
    }

    async fn rollback(&mut self, terms: &Terms, unseen: Unseen) -> Result<(), Fault> {
        if terms.within_outer {
            // The savepoint exists only in the transaction of the unit, also in an aborted one.
            return outer::undo(self, terms).await.map_err(Fault::Refused);
        }
        let mut certain = unseen != Unseen::Hidden;
        let mut ended = false;
        if matches!(unseen, Unseen::Text | Unseen::Anything) {
            let message = format!("{}; ROLLBACK", UseUpMarker(terms));
            match run(self, &message).await {
                Ok(()) => ended = true,
                Err(Fault::TransactionEnded(error)) => return Err(Fault::TransactionEnded(error)),
                // The transaction is aborted. The statement in text that failed in it cannot have ended one and begun
                // another; a message of several can.
                Err(_) => certain = unseen == Unseen::Text,
            }
        }
        if !ended {
            self.batch_execute("ROLLBACK")
                .await
                .map_err(Fault::Refused)?;
        }
        internals::reset(internals::status(self));
        match certain {
            true => Ok(()),
            false => Err(Fault::TransactionMaybeEnded),
        }
    }
}
