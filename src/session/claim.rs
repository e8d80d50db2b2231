//! One statement of a session, from the wait for its bind to the end of its reply.

use std::any::type_name;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use diesel::QueryResult;
use diesel::query_builder::QueryId;
use tokio::sync::MutexGuard;

use crate::backend::{Connection, KeptWrites};
use crate::bind::{Access, is_of_diesel};
use crate::commit::Fault;
use crate::error::{AbortReason, Error, Waiting};
use crate::session::core::Core;
use crate::session::deadline::Deadline;
use crate::session::lease::Lease;
use crate::session::slot::{Hold, Slot};
use crate::trace::Stopwatch;

/// The right to run statements on one bind, one after the other.
///
/// Dropping it while a statement runs makes the unit abort-only, because the effect of that statement is unknown.
pub struct Claim<'s, C: Connection> {
    core: &'s Core,
    slot: &'s Slot<C>,
    /// Declared before the lock, and so dropped first. Later, the hold might belong to the next user of the lock.
    hold: Option<Hold<'s>>,
    lease: MutexGuard<'s, Option<Box<Lease<C>>>>,
    stopwatch: Stopwatch,
}

/// A [`Claim`], owned or borrowed.
pub trait AsClaim<C>: Send {
    /// Returns the deadline of the unit.
    fn deadline(&self) -> Deadline;

    /// Returns the key of the bind.
    fn key(&self) -> &'static str;

    /// Returns the connection for one statement. The statement counts as incomplete until [`complete`](Self::complete)
    /// has its reply.
    fn start(&mut self) -> Result<&mut C, Error>;

    /// Returns the writes that stay prepared, if the next statement may be one of them.
    fn kept_writes(&mut self) -> Option<Arc<KeptWrites>>;

    /// Returns the connection for one statement with a stream of rows, and a flag that is `true` while no row is
    /// awaited.
    fn start_rows(&mut self) -> Result<(&mut C, &AtomicBool), Error>;

    /// Takes the result of the statement: a reply, or the error of the deadline.
    ///
    /// # Cancel safety
    ///
    /// The server may be asked about an error. If the future is dropped there, the connection takes no other statement.
    fn complete<T: Send>(
        &mut self,
        replied: Result<QueryResult<T>, Error>,
    ) -> impl Future<Output = Result<T, Error>> + Send;

    /// Holds the bind until the claim is dropped: other statements on it fail and do not wait.
    fn hold(&mut self);
}

/// Runs one statement, until the deadline at most.
pub(super) async fn run<C, T: Send>(
    claim: &mut impl AsClaim<C>,
    work: impl AsyncFnOnce(&mut C) -> QueryResult<T>,
) -> Result<T, Error> {
    let (deadline, bind) = (claim.deadline(), claim.key());
    let connection = claim.start()?;
    let replied = deadline.bound(bind, Waiting::Statement, work(connection));
    let replied = replied.await;
    claim.complete(replied).await
}

impl<C: Connection> AsClaim<C> for Claim<'_, C> {
    fn deadline(&self) -> Deadline {
        self.core.deadline()
    }

    fn key(&self) -> &'static str {
        self.slot.entry.key
    }

    fn start(&mut self) -> Result<&mut C, Error> {
        self.start_rows().map(|(connection, _)| connection)
    }

    fn kept_writes(&mut self) -> Option<Arc<KeptWrites>> {
        self.lease().kept_writes()
    }

    fn start_rows(&mut self) -> Result<(&mut C, &AtomicBool), Error> {
        self.settle_rows();
        if self.lease().is_incomplete() {
            return Err(self.unfit(&Fault::Incomplete));
        }
        self.stopwatch = Stopwatch::start();
        let lease = lease(&mut self.lease);
        match lease.start() {
            Some((connection, _)) => {
                self.slot.entry.log_statements(true);
                Ok((connection, &self.slot.between_rows))
            }
            None => unreachable!("a lease in a slot keeps its connection"),
        }
    }

    async fn complete<T: Send>(
        &mut self,
        replied: Result<QueryResult<T>, Error>,
    ) -> Result<T, Error> {
        let bind = self.key();
        let drained = self.drained(replied).await;
        let result = self.in_time(drained)?;
        self.lease().completed();
        let server = Arc::clone(&self.lease().terms.server);
        let (metrics, error) = (&self.slot.entry.metrics, result.as_ref().err());
        metrics.answered(self.stopwatch, server.attributes(bind), error);
        self.lease().failed |= result.as_ref().is_err_and(may_be_lost);
        self.lease().unverified |= result.is_err() && self.lease().errors_may_end_it();
        let is_stale = match &result {
            Ok(_) => false,
            Err(error) => self.lease().note_stale(error),
        };
        let result = result.map_err(|source| match is_stale {
            true => Error::StaleConnection { bind, source },
            false => Error::Query { bind, source },
        });
        if self.core.options.notes_conflicts {
            self.note_conflict(result.as_ref().err()).await;
        }
        if result.is_ok() && self.lease().set_nothing() {
            return Err(Error::WithoutEffect { bind });
        }
        result
    }

    fn hold(&mut self) {
        // A second hold would end with the drop of the first.
        self.hold.get_or_insert_with(|| self.slot.hold());
    }
}

impl<C: Connection> AsClaim<C> for MutexGuard<'_, Claim<'_, C>> {
    fn deadline(&self) -> Deadline {
        (**self).deadline()
    }

    fn key(&self) -> &'static str {
        (**self).key()
    }

    fn start(&mut self) -> Result<&mut C, Error> {
        (**self).start()
    }

    fn kept_writes(&mut self) -> Option<Arc<KeptWrites>> {
        (**self).kept_writes()
    }

    fn start_rows(&mut self) -> Result<(&mut C, &AtomicBool), Error> {
        (**self).start_rows()
    }

    async fn complete<T: Send>(
        &mut self,
        replied: Result<QueryResult<T>, Error>,
    ) -> Result<T, Error> {
        (**self).complete(replied).await
    }

    fn hold(&mut self) {
        (**self).hold();
    }
}

impl<'s, C: Connection> Claim<'s, C> {
    pub(super) fn new(
        core: &'s Core,
        slot: &'s Slot<C>,
        lease: MutexGuard<'s, Option<Box<Lease<C>>>>,
    ) -> Self {
        Self {
            core,
            slot,
            hold: None,
            lease,
            stopwatch: Stopwatch::start(),
        }
    }

    /// Records whether the type of the next statement describes it. A statement without a static query id may be any
    /// text, and so may a fragment of the application.
    pub(super) fn describe<Q: QueryId>(&mut self) {
        if !Q::HAS_STATIC_QUERY_ID || !is_of_diesel(type_name::<Q>()) {
            let lease = self.lease();
            lease.undescribed();
            lease.touched = true;
        }
    }

    /// Records that text in the next statement, which Diesel builds, may call a function that leaves state on the
    /// connection.
    pub(super) fn may_leave_something(&mut self) {
        self.lease().touched = true;
    }

    /// Makes sure that the connection may run a statement with this access.
    pub(super) async fn ready(&mut self, position: usize, access: Access) -> Result<(), Error> {
        let bind = self.key();
        self.verify().await?;
        let core = self.core;
        let lease = self.lease();
        if access == Access::Read || lease.wrote {
            return Ok(());
        }
        core.admit_writer(position, bind, lease.cannot_prepare())?;
        lease.wrote = true;
        Ok(())
    }

    /// Makes sure that the connection is the lent one and in the transaction of the unit. If the application dropped a
    /// statement on it, the next reply may belong to that statement.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the connection takes no other statement.
    pub(super) async fn verify(&mut self) -> Result<(), Error> {
        self.settle_rows();
        let (core, bind) = (self.core, self.key());
        if let Some(sandbox) = core.registry.sandbox() {
            sandbox.check_open(bind)?;
        }
        let verifying = self.lease().verify_for_statement();
        // Also without a question to the server: no statement begins after the deadline.
        let verified = core
            .deadline()
            .bound(bind, Waiting::Statement, verifying)
            .await;
        match self.in_time(verified)? {
            Ok(()) => Ok(()),
            // The error of a statement on the raw connection whose reply the application did not read.
            Err(Fault::Refused(source)) => Err(Error::Query { bind, source }),
            Err(Fault::WithoutEffect) => Err(Error::WithoutEffect { bind }),
            Err(fault) => Err(self.unfit(&fault)),
        }
    }

    /// Makes the unit abort-only if the deadline has passed.
    fn in_time<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.inspect_err(|_| {
            self.core
                .abort_only(self.slot.entry.key, AbortReason::DeadlineExceeded);
        })
    }

    /// Stores the number of the connection before it is [lent](Self::lend).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the connection takes no other statement.
    pub(super) async fn number_connection(&mut self) -> Result<(), Error> {
        let (deadline, bind) = (self.core.deadline(), self.key());
        let numbering = self.lease().number_connection();
        let numbered = deadline.bound(bind, Waiting::Statement, numbering).await;
        self.in_time(numbered)?
            .map_err(|source| Error::Query { bind, source })
    }

    /// Lends the connection to the application, which may then run any statement.
    pub(super) fn lend(&mut self) -> Result<&mut C, Error> {
        self.settle_rows();
        if self.lease().is_incomplete() {
            return Err(self.unfit(&Fault::Incomplete));
        }
        Ok(self.lease().lend())
    }

    /// Returns the result of the statement after its whole reply was read: text may call a procedure with several
    /// results.
    async fn drained<T>(
        &mut self,
        replied: Result<QueryResult<T>, Error>,
    ) -> Result<QueryResult<T>, Error> {
        let Ok(Ok(value)) = replied else {
            return replied;
        };
        if !self.lease().undescribed {
            return Ok(Ok(value));
        }
        self.lease().completed();
        let (deadline, bind) = (self.core.deadline(), self.key());
        let draining = self.lease().drain();
        let drained = deadline.bound(bind, Waiting::Statement, draining).await?;
        Ok(drained.map(|()| value))
    }

    /// Records whether the statement met a conflict. Errors of another kind keep an earlier conflict, which often caused
    /// them.
    async fn note_conflict(&mut self, error: Option<&Error>) {
        let Some(error) = error else {
            return self.slot.note_conflict(false);
        };
        if error.is_retryable() || self.lease().met_conflict(error).await {
            self.slot.note_conflict(true);
        }
    }

    fn lease(&mut self) -> &mut Lease<C> {
        lease(&mut self.lease)
    }

    /// Skips the rest of a stream that was dropped between two rows, when no row was awaited.
    fn settle_rows(&mut self) {
        if self.slot.between_rows.swap(false, Ordering::SeqCst) {
            self.lease().skips_rows();
        }
    }

    fn unfit(&mut self, fault: &Fault) -> Error {
        let bind = self.key();
        let reason = AbortReason::from(fault);
        self.core.abort_only(bind, reason);
        Error::AbortOnly { bind, reason }
    }
}

impl<C: Connection> Drop for Claim<'_, C> {
    fn drop(&mut self) {
        self.settle_rows();
        if self.lease().is_incomplete() {
            self.core.abort_only(self.key(), AbortReason::Incomplete);
        }
    }
}

/// Returns whether the connection may be lost, which backends report by different errors.
fn may_be_lost(error: &diesel::result::Error) -> bool {
    use diesel::result::DatabaseErrorKind as Kind;
    use diesel::result::Error::DatabaseError;

    matches!(
        error,
        DatabaseError(
            Kind::UnableToSendCommand | Kind::ClosedConnection | Kind::Unknown,
            _
        )
    )
}

fn lease<C: Connection>(slot: &mut Option<Box<Lease<C>>>) -> &mut Lease<C> {
    slot.as_mut()
        .expect("a claim is made of a slot with a lease")
}
