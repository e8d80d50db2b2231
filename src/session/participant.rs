//! The lease as a participant of the commit: it carries out each step within a time limit, on the right connection.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, poll_immediate, ready};
use tokio::time::timeout;

use crate::backend::{Connection, DatabaseIdentity, Terms, Unseen};
use crate::commit::{
    Asked, Decision, Fault, Identified, LoneCommitError, Outcome, Participant, Profile, Undone,
};
use crate::gid::{Branch, DatabaseId, Gid};
use crate::recovery::Database as _;
use crate::session::lease::Lease;

impl<C: Connection> Participant for Lease<C> {
    fn profile(&self) -> Profile {
        let options = &self.entry.options;
        let can_ask = C::can_ask(&self.terms, options.trust_reads);
        Profile {
            key: self.entry.key,
            writer: self.wrote && !self.terms.read_only,
            read_only: self.terms.read_only,
            askable: can_ask && !self.terms.read_only && !self.wrote,
            // An old unit reads the id again: by now, its holder may have deleted records of that age.
            database: self
                .entry
                .database()
                .filter(|_| self.entry.clock.is_young(self.terms.unit)),
            fingerprint: Arc::clone(&self.terms.server.fingerprint),
            cannot_prepare: self.cannot_prepare().map(Into::into),
            holder_rank: options.holder_rank(C::HOLDER_RANK),
            needs_decision_row: options.record_every_commit,
            within_outer: self.terms.within_outer,
        }
    }

    fn ask(&mut self) -> BoxFuture<'_, Result<Asked, Fault>> {
        async move {
            self.verify_in_time().await?;
            self.verify_open().await?;
            self.step(Self::start, async |connection, terms| {
                refused_or_lost(connection.ask(terms).await, connection, terms).await
            })
            .await
        }
        .boxed()
    }

    fn identify(&mut self) -> BoxFuture<'_, Result<Identified, Fault>> {
        async move {
            self.verify_in_time().await?;
            self.verify_open().await?;
            let identifying = self.step(Self::start, async |connection, terms| {
                let identified = connection.identify(terms).await;
                let identified = refused_or_lost(identified, connection, terms).await?;
                let durable = connection.durable(terms).await;
                let durable = refused_or_lost(durable, connection, terms).await?;
                Ok((identified, durable))
            });
            let identified = identifying.await;
            if let Err(fault @ Fault::TransactionEnded(_)) = &identified {
                self.met_marker(fault);
            }
            let (identified, replicated) = identified?;
            // Read each time from a file, whose durability is a setting of the connection.
            if !C::IS_FILE {
                self.entry.note_identity(identified.database, replicated);
                self.entry.note_use(identified.database, &self.terms.server);
            }
            Ok(identified)
        }
        .boxed()
    }

    fn prepare<'a>(&'a mut self, branch: &'a Branch) -> BoxFuture<'a, Result<(), Fault>> {
        async move {
            self.reach_in_time().await?;
            self.settle_unseen();
            self.maybe_prepared = true;
            let preparing = self.step(Self::start_ending, async |connection, terms| {
                connection.prepare(terms, branch).await?;
                confirm(connection, terms).await
            });
            let prepared = preparing.await;
            if let Err(fault) = &prepared {
                self.met_marker(fault);
                self.maybe_prepared = !matches!(fault, Fault::Unreached(_));
                if let Fault::Refused(error) = fault
                    && C::prepares_no_more(error)
                {
                    self.entry.leave_server();
                }
            }
            self.prepared = prepared.is_ok();
            prepared
        }
        .boxed()
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<(), LoneCommitError>> {
        async move {
            if let Err(fault) = self.reach_in_time().await {
                // Nothing of the commit was sent. `undone` later returns the result of the roll-back.
                let _ = Lease::roll_back(self).await;
                return Err(LoneCommitError::Refused(fault));
            }
            let limit = self.entry.timeouts.step;
            self.settle_unseen();
            let Some((connection, terms)) = self.start_ending() else {
                return Err(LoneCommitError::Refused(Fault::Incomplete));
            };
            let lost = match timeout(limit, connection.commit(terms)).await {
                Ok(Ok(started)) => {
                    self.ended();
                    self.entry.note_start(&self.terms.server, started);
                    return Ok(());
                }
                Ok(Err(mut failed)) => {
                    failed.fault = self.conflicted(failed.fault).await;
                    self.met_marker(&failed.fault);
                    match failed.fault {
                        Fault::Lost(_) => failed,
                        // The connection is lost, may be in another transaction, or was left before its roll-back was
                        // complete.
                        Fault::Unreached(_)
                        | Fault::TransactionEnded(_)
                        | Fault::NonTransactional(_) => {
                            self.close().await;
                            return Err(LoneCommitError::Refused(failed.fault));
                        }
                        fault => {
                            self.ended();
                            return Err(LoneCommitError::Refused(fault));
                        }
                    }
                }
                Err(_) => Fault::TimedOut.into(),
            };
            self.close().await;
            let fate = match lost.transaction {
                Some(transaction) => self.entry.fate(transaction, &self.terms.server).await,
                None => None,
            };
            match fate {
                Some(Outcome::Committed) => Ok(()),
                Some(Outcome::RolledBack) => Err(LoneCommitError::Refused(lost.fault)),
                None => Err(LoneCommitError::Unknown(lost.fault)),
            }
        }
        .boxed()
    }

    fn releasable(&mut self) -> BoxFuture<'_, Result<(), Fault>> {
        async move {
            self.verify_in_time().await?;
            if !self.terms.within_outer {
                return Ok(());
            }
            self.step(Self::start, async |connection, terms| {
                connection.releasable(terms).await
            })
            .await
        }
        .boxed()
    }

    fn release(&mut self) -> BoxFuture<'_, Result<(), Fault>> {
        async move {
            if !self.terms.within_outer {
                // A private copy of the database: there, a commit need not be prevented.
                let committed = Participant::commit(self).await;
                return committed.map_err(LoneCommitError::into_fault);
            }
            self.answer_in_time().await?;
            let releasing = self.step(Self::start_ending, async |connection, terms| {
                connection.release(terms).await
            });
            let released = releasing.await;
            match &released {
                Ok(()) => self.ended(),
                Err(fault) => self.met_marker(fault),
            }
            released
        }
        .boxed()
    }

    fn decide<'a>(&'a mut self, decision: &'a Decision) -> BoxFuture<'a, Result<(), Fault>> {
        async move {
            self.reach_in_time().await?;
            self.settle_unseen();
            self.maybe_decided = true;
            // Before the decision is sent: from then on, only this server can answer for the unit.
            self.entry
                .note_use(decision.gid.holder_id, &self.terms.server);
            let deciding = self.step(Self::start_ending, async |connection, terms| {
                connection.decide(terms, decision).await?;
                confirm(connection, terms).await
            });
            let decided = match deciding.await {
                Ok(()) => Ok(()),
                Err(fault) => Err(self.conflicted(fault).await),
            };
            match &decided {
                Ok(()) => {
                    self.entry.note_decision(&decision.gid, &self.terms.server);
                    self.ended();
                }
                Err(fault) => {
                    // The id may belong to a database that was replaced. The next unit reads it again.
                    self.entry.forget_identity();
                    self.met_marker(fault);
                    self.maybe_decided = match fault {
                        Fault::Unreached(_) => false,
                        // The library of SQLite runs in this process: it has rolled the decision back.
                        Fault::Refused(_) | Fault::TransactionEnded(_) => !C::IS_FILE,
                        _ => true,
                    };
                }
            }
            decided
        }
        .boxed()
    }

    fn roll_back(&mut self) -> BoxFuture<'_, Undone> {
        Lease::roll_back(self).boxed()
    }

    fn undone(&self) -> Undone {
        self.undone
    }

    fn resolve<'a>(&'a mut self, gid: &'a Gid) -> BoxFuture<'a, Result<Outcome, Fault>> {
        if !self.maybe_decided {
            // No decision was sent, and no other process sends it.
            return ready(Ok(Outcome::RolledBack)).boxed();
        }
        let server = self.terms.server.lineage.as_ref();
        self.entry.resolve_on(gid, server).boxed()
    }

    fn finish<'a>(
        &'a mut self,
        branch: &'a Branch,
        outcome: Outcome,
        database: DatabaseId,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        async move {
            if !self.maybe_prepared {
                // No prepare was sent. `undone` later returns the result of the roll-back.
                let _ = Lease::roll_back(self).await;
                return Ok(());
            }
            if !self.prepared && self.undone != Undone::NothingKept {
                // The server refused the prepare, and the transaction may not be that of the unit.
                self.close().await;
                return Ok(());
            }
            let answered = !self.is_incomplete();
            if answered && self.finish_here(branch, outcome).await {
                return Ok(());
            }
            // A prepare whose reply was not read may still arrive: a branch that is not listed now may be listed later.
            let uncertain = !self.prepared
                && outcome == Outcome::RolledBack
                && !(answered && C::errors_are_final(&self.terms.server));
            self.close().await;
            let expected = DatabaseIdentity {
                database: Some(database),
                lineage: self.terms.server.lineage.clone(),
            };
            let listed = self.entry.finish(branch, outcome, &expected).await?;
            if listed {
                // A branch was only prepared if the marker was there.
                self.undone = Undone::NothingKept;
            }
            if uncertain && !listed {
                return Err(Fault::TimedOut);
            }
            Ok(())
        }
        .boxed()
    }

    #[cfg(feature = "testing")]
    fn cut(&mut self) -> BoxFuture<'_, ()> {
        Lease::cut(self).boxed()
    }
}

impl<C: Connection> Lease<C> {
    async fn verify_in_time(&mut self) -> Result<(), Fault> {
        if !self.unverified && !self.rows_left {
            return Ok(());
        }
        let limit = self.entry.timeouts.step;
        timed(limit, self.verify()).await
    }

    /// Makes sure, before a step that must not be lost, that it reaches the transaction of the unit.
    async fn reach_in_time(&mut self) -> Result<(), Fault> {
        self.verify_in_time().await?;
        self.answer_in_time().await
    }

    /// Makes sure that the server replies, if that is worth a round trip. A step that is sent on a lost connection
    /// cannot be distinguished from one whose reply is lost. A step that is not sent has no effect.
    async fn answer_in_time(&mut self) -> Result<(), Fault> {
        self.verify_open().await?;
        if !self.is_unsure() {
            return Ok(());
        }
        // Before the question, so that it is not counted as a statement of the application.
        self.settle_unseen();
        let answering = self.step(Self::start, async |connection, terms| {
            connection.ping(terms).await.map_err(Fault::Unreached)
        });
        let answered = answering.await;
        if matches!(answered, Err(Fault::Unreached(_))) {
            self.gone_dead();
        }
        answered
    }

    /// Fails if the driver has noticed that the connection is closed. Sends nothing.
    async fn verify_open(&mut self) -> Result<(), Fault> {
        let limit = self.entry.timeouts.step;
        let (connection, _) = self.start().ok_or(Fault::Incomplete)?;
        // Outside of the limit, which would set a timer for each call.
        connection.read_pending().await;
        let closed = {
            let mut closed = pin!(connection.closed());
            // The answer is there, unless the connection is closed.
            match poll_immediate(&mut closed).await {
                Some(closed) => Ok(closed),
                None => timeout(limit, closed).await,
            }
        };
        match closed {
            Err(_) => Err(Fault::TimedOut),
            Ok(None) => {
                self.still_open();
                Ok(())
            }
            Ok(Some(reason)) => {
                self.gone_dead();
                Err(Fault::Unreached(reason))
            }
        }
    }

    /// Carries out a step within the step timeout, and records whether its reply was read.
    async fn step<T>(
        &mut self,
        start: impl FnOnce(&mut Self) -> Option<(&mut C, &Terms)>,
        step: impl AsyncFnOnce(&mut C, &Terms) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let limit = self.entry.timeouts.step;
        let (connection, terms) = start(self).ok_or(Fault::Incomplete)?;
        let replied = timed(limit, step(connection, terms)).await;
        if !matches!(
            replied,
            Err(Fault::TimedOut | Fault::Lost(_) | Fault::Unreached(_) | Fault::Incomplete)
        ) {
            self.completed();
        }
        replied
    }

    /// Turns a missing marker into a conflict, if the server has rolled the transaction back by itself for one.
    async fn conflicted(&mut self, fault: Fault) -> Fault {
        let Fault::TransactionEnded(error) = fault else {
            return fault;
        };
        self.completed();
        let limit = self.entry.timeouts.step;
        let was_rolled_back = match (self.settle_unseen(), self.start()) {
            (Unseen::Nothing, Some((connection, terms))) => {
                timeout(limit, connection.was_rolled_back(terms)).await
            }
            _ => Ok(false),
        };
        if was_rolled_back.is_ok() {
            self.completed();
        }
        match was_rolled_back {
            Ok(true) => Fault::Refused(lost_to_another(&error)),
            _ => Fault::TransactionEnded(error),
        }
    }

    /// Finishes the branch on the connection that prepared it. Returns whether that succeeded.
    async fn finish_here(&mut self, branch: &Branch, outcome: Outcome) -> bool {
        let limit = self.entry.timeouts.step;
        let prepared = self.prepared;
        let Some((connection, terms)) = self.start_ending() else {
            return false;
        };
        let finishing = async {
            if prepared {
                let finished = connection.finish(terms, branch, outcome).await;
                finished.map_err(Fault::Lost)
            } else {
                // The server refused to prepare, so the transaction is still open.
                connection.rollback(terms, Unseen::Nothing).await
            }
        };
        match timeout(limit, finishing).await {
            Ok(Ok(())) => {
                self.ended();
                true
            }
            Ok(Err(Fault::NonTransactional(_))) => {
                self.undone = Undone::NonTransactional;
                self.close().await;
                true
            }
            Ok(Err(error)) => {
                tracing::debug!(%branch, %error, "a branch could not be finished on its own connection");
                self.completed();
                false
            }
            Err(_) => false,
        }
    }
}

/// Returns the error of a transaction that a node of a cluster has rolled back. The node says so only to the statement
/// that runs at that moment.
fn lost_to_another(error: &diesel::result::Error) -> diesel::result::Error {
    let message = format!("another node of the cluster has changed the same rows first: {error}");
    let kind = diesel::result::DatabaseErrorKind::SerializationFailure;
    diesel::result::Error::DatabaseError(kind, Box::new(message))
}

/// Makes sure that the standby has what the server has just reported as done, where that is required. PostgreSQL also
/// reports success if an operator has ended the wait for the standby.
async fn confirm<C: Connection>(connection: &mut C, terms: &Terms) -> Result<(), Fault> {
    if !terms.require_replication {
        return Ok(());
    }
    let confirming = async {
        connection.barrier(&terms.server.schema).await?;
        // A proxy may have led to another server meanwhile.
        connection.lineage().await
    };
    // The step itself may be done: a fresh connection has to find out.
    let answering = confirming.await.map_err(Fault::Lost)?;
    let known = terms.server.lineage.as_ref();
    if known.is_some_and(|known| !answering.is_some_and(|answering| answering.is_same(known))) {
        let message = "a proxy has led the connection to another server";
        return Err(Fault::Lost(diesel::result::Error::QueryBuilderError(
            message.into(),
        )));
    }
    Ok(())
}

/// Turns a refusal into a lost connection if the server no longer replies. Drivers do not distinguish the two.
async fn refused_or_lost<C: Connection, T>(
    result: Result<T, Fault>,
    connection: &mut C,
    terms: &Terms,
) -> Result<T, Fault> {
    match result {
        Err(Fault::Refused(error)) => Err(match connection.ping(terms).await {
            Ok(()) => Fault::Refused(error),
            Err(_) => Fault::Lost(error),
        }),
        result => result,
    }
}

async fn timed<T>(
    limit: Duration,
    step: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    timeout(limit, step).await.unwrap_or(Err(Fault::TimedOut))
}
