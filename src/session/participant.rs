//! A lease as a participant of the commit: each step within its time, on the right connection.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use crate::backend::{Backend, Connection};
use crate::commit::{Aloneness, Asked, Decision, Fault, Outcome, Participant, Profile};
use crate::gid::{Branch, DatabaseId, Gid};
use crate::session::lease::Lease;

impl<C: Connection> Participant for Lease<C> {
    fn profile(&self) -> Profile {
        let options = &self.entry.options;
        let can_tell = match C::BACKEND {
            // Its counter has to be read at the begin.
            Backend::Mysql => self.terms.verify_reads,
            // It tells of the whole transaction, and not of a savepoint.
            Backend::Postgres if self.terms.joined => false,
            Backend::Postgres | Backend::Sqlite => !options.trust_reads,
        };
        Profile {
            key: self.entry.key,
            writer: self.wrote && !self.terms.read_only,
            read_only: self.terms.read_only,
            askable: can_tell && !self.terms.read_only && !self.wrote,
            database: self.entry.database(),
            cannot_prepare: self.cannot_prepare(),
            // An XA branch is the weakest link: as the holder it commits in one phase.
            holder_rank: options.holder_rank(i8::from(C::BACKEND == Backend::Mysql)),
            records: options.record_every_commit,
            joined: self.terms.joined,
        }
    }

    fn ask(&mut self) -> BoxFuture<'_, Result<Asked, Fault>> {
        async move {
            self.verify_in_time().await?;
            let limit = self.entry.timeouts.step;
            let (connection, terms) = self.start().ok_or(Fault::Incomplete)?;
            let asked = timed(limit, connection.ask(terms)).await;
            self.replied(&asked);
            asked
        }
        .boxed()
    }

    fn identify(&mut self) -> BoxFuture<'_, Result<DatabaseId, Fault>> {
        async move {
            self.verify_in_time().await?;
            let limit = self.entry.timeouts.step;
            let (connection, terms) = self.start().ok_or(Fault::Incomplete)?;
            let identified = timed(limit, connection.identify(terms)).await;
            self.replied(&identified);
            // SQLite is asked every time: whether it is durable is a setting of the connection.
            if C::BACKEND != Backend::Sqlite
                && let Ok(id) = &identified
            {
                self.entry.note_database(Some(*id));
            }
            identified
        }
        .boxed()
    }

    fn prepare<'a>(&'a mut self, branch: &'a Branch) -> BoxFuture<'a, Result<(), Fault>> {
        async move {
            self.verify_in_time().await?;
            self.answer_in_time().await?;
            let limit = self.entry.timeouts.step;
            self.maybe_prepared = true;
            let (connection, terms) = self.start().ok_or(Fault::Incomplete)?;
            let prepared = timed(limit, connection.prepare(terms, branch)).await;
            self.replied(&prepared);
            self.prepared = prepared.is_ok();
            prepared
        }
        .boxed()
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<(), Aloneness>> {
        async move {
            self.verify_in_time().await.map_err(Aloneness::Refused)?;
            self.answer_in_time().await.map_err(Aloneness::Refused)?;
            let limit = self.entry.timeouts.step;
            let Some((connection, terms)) = self.start() else {
                return Err(Aloneness::Refused(Fault::Incomplete));
            };
            let lost = match timeout(limit, connection.commit(terms)).await {
                Ok(Ok(())) => {
                    self.ended();
                    return Ok(());
                }
                Ok(Err(failed)) => {
                    if !matches!(failed.fault, Fault::Lost(_)) {
                        self.ended();
                        return Err(Aloneness::Refused(failed.fault));
                    }
                    failed
                }
                Err(_) => crate::backend::AloneFault {
                    fault: Fault::TimedOut,
                    transaction: None,
                },
            };
            self.close().await;
            let fate = match lost.transaction {
                Some(transaction) => self.entry.fate(transaction).await,
                None => None,
            };
            match fate {
                Some(Outcome::Commit) => Ok(()),
                Some(Outcome::Abort) => Err(Aloneness::Refused(lost.fault)),
                None => Err(Aloneness::Lost(lost.fault)),
            }
        }
        .boxed()
    }

    fn releasable(&mut self) -> BoxFuture<'_, Result<(), Fault>> {
        async move {
            self.verify_in_time().await?;
            if !self.terms.joined {
                return Ok(());
            }
            let limit = self.entry.timeouts.step;
            let (connection, terms) = self.start().ok_or(Fault::Incomplete)?;
            let asked = timed(limit, connection.releasable(terms)).await;
            self.replied(&asked);
            asked
        }
        .boxed()
    }

    fn release(&mut self) -> BoxFuture<'_, Result<(), Fault>> {
        async move {
            if !self.terms.joined {
                // A copy of its own, where a commit is kept from nobody.
                let committed = Participant::commit(self).await;
                return committed.map_err(Aloneness::into_fault);
            }
            let limit = self.entry.timeouts.step;
            let (connection, terms) = self.start().ok_or(Fault::Incomplete)?;
            let released = timed(limit, connection.release(terms)).await;
            match &released {
                Ok(()) => self.ended(),
                Err(_) => self.replied(&released),
            }
            released
        }
        .boxed()
    }

    fn decide<'a>(&'a mut self, decision: &'a Decision) -> BoxFuture<'a, Result<(), Fault>> {
        async move {
            self.verify_in_time().await?;
            let limit = self.entry.timeouts.step;
            let (connection, terms) = self.start().ok_or(Fault::Incomplete)?;
            let decided = timed(limit, connection.decide(terms, decision)).await;
            if decided.is_ok() {
                self.ended();
            } else {
                // The id may be that of a database that was replaced. The next unit asks again.
                self.entry.note_database(None);
                self.replied(&decided);
            }
            decided
        }
        .boxed()
    }

    fn roll_back(&mut self) -> BoxFuture<'_, ()> {
        Lease::roll_back(self).boxed()
    }

    fn resolve<'a>(&'a mut self, gid: &'a Gid) -> BoxFuture<'a, Result<Outcome, Fault>> {
        self.entry.resolve(gid).boxed()
    }

    fn finish<'a>(
        &'a mut self,
        branch: &'a Branch,
        outcome: Outcome,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        async move {
            if !self.maybe_prepared {
                // It failed before anything was sent.
                Lease::roll_back(self).await;
                return Ok(());
            }
            if !self.is_incomplete() && self.finish_here(branch, outcome).await {
                return Ok(());
            }
            // A prepare whose reply was not read may still be on its way: what is not listed now may be later.
            let uncertain = !self.prepared && outcome == Outcome::Abort;
            self.close().await;
            let listed = self.entry.finish(branch, outcome).await?;
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
        let limit = self.entry.timeouts.step;
        timed(limit, self.verify()).await
    }

    /// What is sent on a lost connection has no reply, like that whose reply is lost. After a failed statement it
    /// is worth a round trip to tell them apart: what is not sent is not done.
    async fn answer_in_time(&mut self) -> Result<(), Fault> {
        if !self.failed {
            return Ok(());
        }
        let limit = self.entry.timeouts.step;
        let (connection, terms) = self.start().ok_or(Fault::Incomplete)?;
        let answered = async { connection.answer(terms).await.map_err(Fault::Lost) };
        let answered = timed(limit, answered).await;
        self.replied(&answered);
        answered
    }

    /// Notes whether the reply to a step was read.
    fn replied<T>(&mut self, result: &Result<T, Fault>) {
        if !matches!(
            result,
            Err(Fault::TimedOut | Fault::Lost(_) | Fault::Incomplete)
        ) {
            self.completed();
        }
    }

    /// Finishes on the connection that prepared. Returns whether that worked.
    async fn finish_here(&mut self, branch: &Branch, outcome: Outcome) -> bool {
        let limit = self.entry.timeouts.step;
        let prepared = self.prepared;
        let Some((connection, terms)) = self.start() else {
            return false;
        };
        let finishing = async {
            if prepared {
                connection.finish(terms, branch, outcome).await
            } else {
                // The server refused to prepare, so the transaction is still there to be rolled back.
                connection.rollback(terms).await
            }
        };
        match timeout(limit, finishing).await {
            Ok(Ok(())) => {
                self.ended();
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

async fn timed<T>(
    limit: Duration,
    step: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    timeout(limit, step).await.unwrap_or(Err(Fault::TimedOut))
}
