//! The place of one connection of a session, which binds may share: empty until their first query, then with a lease.

use std::any::Any;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Either, select};
use tokio::sync::{Mutex, MutexGuard, Notify};

use crate::backend::{Connection, SavepointStep};
use crate::commit::Participant;
use crate::error::{AbortReason, Error};
use crate::registry::Entry;
use crate::session::lease::Lease;

/// The place of one bind in a session.
pub(crate) struct Slot<C: Connection> {
    pub(super) entry: Arc<Entry<C>>,
    /// In a box, so that it does not move until it has ended as a participant of the commit.
    lease: Mutex<Option<Box<Lease<C>>>>,
    /// `true` while a raw connection or a stream has the lock, which it may keep for any time.
    held: AtomicBool,
    /// Wakes the tasks that wait for the lock when a raw connection or a stream starts to hold it.
    holding: Notify,
    /// `true` if a statement met a conflict here, and none has succeeded since.
    conflict: AtomicBool,
    /// `true` while a stream has returned a row and was not asked for the next.
    pub(super) between_rows: AtomicBool,
}

impl<C: Connection> Slot<C> {
    pub(super) fn new(entry: Arc<Entry<C>>) -> Self {
        Self {
            entry,
            lease: Mutex::new(None),
            held: AtomicBool::new(false),
            holding: Notify::new(),
            conflict: AtomicBool::new(false),
            between_rows: AtomicBool::new(false),
        }
    }

    /// Waits for another statement of the session on this bind, but not for a raw connection or a stream. The waiting
    /// task may itself hold one of these.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed; a place in the queue is lost.
    pub(super) async fn lock(&self) -> Result<MutexGuard<'_, Option<Box<Lease<C>>>>, Error> {
        if let Ok(lease) = self.lease.try_lock() {
            return Ok(lease);
        }
        let mut locking = pin!(self.lease.lock());
        loop {
            let mut holding = pin!(self.holding.notified());
            holding.as_mut().enable();
            if self.held.load(Ordering::SeqCst) {
                return Err(Error::BindBusy {
                    bind: self.entry.key,
                });
            }
            if let Either::Left((lease, _)) = select(locking.as_mut(), holding).await {
                return Ok(lease);
            }
        }
    }

    /// Records whether a statement met a conflict. A success clears an earlier conflict.
    pub(super) fn note_conflict(&self, met: bool) {
        self.conflict.store(met, Ordering::SeqCst);
    }

    /// Records a conflict of a begin.
    pub(super) fn noting_conflict<T>(&self, begun: Result<T, Error>) -> Result<T, Error> {
        begun.inspect_err(|error| {
            if error.is_retryable() {
                self.note_conflict(true);
            }
        })
    }

    /// Marks the lock as held by a raw connection or a stream, until the result is dropped.
    pub(super) fn hold(&self) -> Hold<'_> {
        self.held.store(true, Ordering::SeqCst);
        self.holding.notify_waiters();
        Hold { held: &self.held }
    }
}

/// A guard that marks a slot as held by a raw connection or a stream.
pub(crate) struct Hold<'s> {
    held: &'s AtomicBool,
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.held.store(false, Ordering::SeqCst);
    }
}

/// A slot of any connection type.
pub(super) trait AnySlot: Send + Sync {
    fn key(&self) -> &'static str;
    fn as_any(&self) -> &dyn Any;
    /// Takes out the lease, if there is one. `Err` if it is in use.
    fn take(&self) -> Result<Option<Box<dyn Participant>>, Busy>;
    /// Returns whether the slot is in use.
    fn is_busy(&self) -> bool;
    /// Returns whether the slot is known to have no lease.
    fn is_empty(&self) -> bool;
    /// Returns whether the unit met a conflict here.
    fn met_conflict(&self) -> bool;
    /// Returns whether no unit can run here again.
    fn is_lost(&self) -> bool;
    /// Carries out a step of a savepoint, if there is a lease.
    fn savepoint(&self, step: SavepointStep, depth: usize) -> BoxFuture<'_, Result<(), Error>>;
}

/// The error of a slot that is in use.
#[derive(Debug)]
pub(super) struct Busy;

impl<C: Connection> AnySlot for Slot<C> {
    fn key(&self) -> &'static str {
        self.entry.key
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn take(&self) -> Result<Option<Box<dyn Participant>>, Busy> {
        let lease = self.lease.try_lock().map_err(|_| Busy)?.take();
        Ok(lease.map(|lease| lease as Box<dyn Participant>))
    }

    fn is_busy(&self) -> bool {
        self.lease.try_lock().is_err()
    }

    fn is_empty(&self) -> bool {
        self.lease.try_lock().is_ok_and(|lease| lease.is_none())
    }

    fn met_conflict(&self) -> bool {
        self.conflict.load(Ordering::SeqCst)
    }

    fn is_lost(&self) -> bool {
        self.entry.is_lost()
    }

    fn savepoint(&self, step: SavepointStep, depth: usize) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            let bind = self.entry.key;
            let mut lease = self.lock().await?;
            let Some(lease) = lease.as_mut() else {
                return Ok(());
            };
            if let Err(fault) = lease.verify_for_statement().await {
                return Err(AbortReason::from(&fault).on(bind));
            }
            lease.savepoint(step, depth).await
        }
        .boxed()
    }
}
