//! What a session is made of: a slot for each bind, and the state of its unit of work.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::MutexGuard;

use crate::backend::Connection;
use crate::bind::{Access, Bind};
use crate::commit::{CommitError, Participant};
use crate::error::{AbortReason, Error, PoolError, Waiting};
use crate::gid::UnitId;
use crate::registry::Registry;
use crate::session::deadline::Deadline;
use crate::session::declared::DeclaredBinds;
use crate::session::hooks::{Hooks, UnitHooks};
use crate::session::lease::Lease;
use crate::session::options::SessionOptions;
use crate::session::slot::{AnySlot, Slot};
use crate::session::statement::Statement;
use crate::trace::CurrentTrace;

/// No bind that cannot prepare has written.
const NOBODY: usize = usize::MAX;

/// A unit that ends, what has it, and who wants to hear of it.
type Ending = (UnitId, Vec<Box<dyn Participant>>, Hooks);

/// The shared part of a session.
pub(crate) struct Core {
    pub(super) registry: Arc<Registry>,
    pub(super) options: SessionOptions,
    pub(super) deadline: Deadline,
    slots: Box<[OnceLock<Box<dyn AnySlot>>]>,
    /// Commit and roll-back are not the session's to call: a closure decides by its result.
    pub(super) managed: bool,
    unit: Mutex<UnitId>,
    pub(super) trace: CurrentTrace,
    savepoints: AtomicUsize,
    /// Closures that have the session, and do not end its unit.
    pub(super) nested: AtomicUsize,
    pub(super) hooks: UnitHooks,
    /// The position of the first bind that wrote and cannot prepare.
    only_holder: AtomicUsize,
    declared: DeclaredBinds,
    is_abort_only: AtomicBool,
    abort_only: Mutex<Option<(&'static str, AbortReason)>>,
}

impl Core {
    pub(super) fn new(registry: Arc<Registry>, options: SessionOptions, managed: bool) -> Self {
        let slots = registry.entries.iter().map(|_| OnceLock::new()).collect();
        Self {
            deadline: Deadline::within(options.deadline),
            registry,
            options,
            slots,
            managed,
            unit: Mutex::new(UnitId::generate()),
            trace: CurrentTrace::default(),
            savepoints: AtomicUsize::new(0),
            nested: AtomicUsize::new(0),
            hooks: UnitHooks::default(),
            only_holder: AtomicUsize::new(NOBODY),
            declared: DeclaredBinds::default(),
            is_abort_only: AtomicBool::new(false),
            abort_only: Mutex::new(None),
        }
    }

    /// The slot of `B`.
    fn slot<B: Bind>(&self) -> Result<(usize, &Slot<B::Connection>), Error> {
        let position = self.registry.position::<B>()?;
        let slot = self.slots[position]
            .get_or_init(|| Box::new(Slot::new(self.registry.entry::<B>(position))));
        let slot = slot
            .as_any()
            .downcast_ref()
            .expect("a slot has the connection type of its entry");
        Ok((position, slot))
    }

    /// All that may be done on `B`.
    pub(super) fn widest_access<B: Bind>(&self) -> Result<Access, Error> {
        let (_, slot) = self.slot::<B>()?;
        Ok(match self.is_read_only(&slot.entry) {
            true => Access::Read,
            false => Access::Write,
        })
    }

    /// Waits for the bind, begins there if nobody did, and readies it for one statement.
    ///
    /// # Cancel safety
    ///
    /// While it waits for the pool or another statement, nothing is changed. While the transaction begins, the unit
    /// becomes abort-only.
    pub(super) async fn statement<B: Bind>(
        &self,
        access: Access,
    ) -> Result<Statement<'_, B::Connection>, Error> {
        let (position, slot) = self.slot::<B>()?;
        let key = slot.entry.key;
        self.check_open()?;
        if access == Access::Write && self.is_read_only(&slot.entry) {
            return Err(Error::ReadOnly { bind: key });
        }
        let beginning = async {
            if !self.options.declared.is_empty() {
                self.declared.begin(self, key).await?;
            }
            self.begun(position, slot).await
        };
        let lease = beginning.await.inspect_err(|error: &Error| {
            // A unit that waited in vain did not do all that it was to do, even if nothing of it has begun.
            if matches!(error, Error::DeadlineExceeded { .. }) {
                self.abort_only(key, AbortReason::DeadlineExceeded);
            }
        })?;
        let mut statement = Statement::new(self, slot, lease);
        statement.ready(position, access).await?;
        Ok(statement)
    }

    /// Begins on `B`, if nobody did.
    pub(super) async fn begin<B: Bind>(&self) -> Result<(), Error> {
        let (position, slot) = self.slot::<B>()?;
        self.begun(position, slot).await.map(drop)
    }

    /// The lease of a slot, for one user of it, in a transaction that is begun if nobody did.
    async fn begun<'s, C: Connection>(
        &self,
        position: usize,
        slot: &'s Slot<C>,
    ) -> Result<MutexGuard<'s, Option<Lease<C>>>, Error> {
        let mut lease = self
            .deadline
            .bound(slot.entry.key, Waiting::Statement, slot.lock())
            .await??;
        self.check_open()?;
        if lease.is_none() {
            *lease = Some(self.enlist(position, slot).await.inspect_err(|error| {
                if error.diesel().is_some_and(C::is_conflict) {
                    slot.note_conflict(true);
                }
            })?);
        }
        Ok(lease)
    }

    /// Checks a connection out and begins the transaction of the unit on it.
    async fn enlist<C: Connection>(
        &self,
        position: usize,
        slot: &Slot<C>,
    ) -> Result<Lease<C>, Error> {
        let entry = &slot.entry;
        let bind = entry.key;
        if self.registry.is_closed() {
            return Err(Error::Closed { bind });
        }
        let handle = Handle::try_current().map_err(|_| Error::NoRuntime { bind })?;
        self.registry.start_worker(&handle);
        self.check_settings(entry)?;
        let limit = match self.deadline.left() {
            Some(left) => entry.timeouts.checkout.min(left),
            None => entry.timeouts.checkout,
        };
        let checkout = async {
            match self.joins_others() {
                true => self.joined(position, bind, limit).await,
                false => entry
                    .checkout(limit)
                    .await
                    .map_err(|source| Error::Pool { bind, source }),
            }
        };
        let pooled = checkout.await.map_err(|error| match error {
            Error::Pool {
                source: source @ (PoolError::TimedOut(_) | PoolError::OneConnection(_)),
                ..
            } if self.deadline.has_passed() => Error::DeadlineExceeded {
                bind,
                waiting_for: match source {
                    PoolError::OneConnection(_) => Waiting::OneConnection,
                    _ => Waiting::Connection,
                },
            },
            error => error,
        })?;
        let server = self.known_server(entry);
        let is_known = server.is_some();
        let mut lease = Lease::new(
            Arc::clone(entry),
            self.trace.context(
                self.unit(),
                &self.registry.namespace,
                self.registry.trace.parameters,
            ),
            self.terms(entry, server.unwrap_or_default()),
            pooled,
            handle,
            self.registry.background.clone(),
        );
        if !is_known {
            // Cancellation safety: the lease closes its connection, which may still be answering.
            let server = self
                .deadline
                .bound(bind, Waiting::Statement, lease.inspect())
                .await??;
            lease.terms = self.terms(entry, server);
        }
        // Cancellation safety: the begin may or may not have reached the server when it is dropped. The lease then
        // closes its connection; the unit is marked, because its author may count on the statement that was to follow.
        let mut beginning = Beginning {
            core: self,
            bind,
            replied: false,
        };
        let begun = self
            .deadline
            .bound(bind, Waiting::Statement, lease.begin())
            .await;
        if begun.is_err() {
            // The first reason stays, and this is the better one.
            self.abort_only(bind, AbortReason::DeadlineExceeded);
        }
        beginning.replied = begun.is_ok();
        begun??;
        Ok(lease)
    }

    /// Lets a statement that is the first to write on its bind through, unless the unit could then not commit as one.
    pub(super) fn admit_writer(
        &self,
        position: usize,
        second: &'static str,
        cannot_prepare: Option<String>,
    ) -> Result<(), Error> {
        let Some(reason) = cannot_prepare.filter(|_| !self.joins_others()) else {
            return Ok(());
        };
        let first =
            self.only_holder
                .compare_exchange(NOBODY, position, Ordering::SeqCst, Ordering::SeqCst);
        match first {
            Err(first) if first != position && !self.options.best_effort => Err(Error::NotAtomic {
                first: self.registry.entries[first].key(),
                second,
                reason,
            }),
            _ => Ok(()),
        }
    }

    /// Whether a database gave the unit up for the sake of others.
    pub(super) fn met_conflict(&self) -> bool {
        self.slots().any(|slot| slot.met_conflict())
    }

    pub(super) fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Notes that the unit can only be rolled back. The first reason stays.
    pub(super) fn abort_only(&self, bind: &'static str, reason: AbortReason) {
        let mut noted = self
            .abort_only
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if noted.is_none() {
            *noted = Some((bind, reason));
            self.is_abort_only.store(true, Ordering::SeqCst);
        }
    }

    /// Why the unit can only be rolled back, if so.
    pub(super) fn abort_reason(&self) -> Option<(&'static str, AbortReason)> {
        if !self.is_abort_only.load(Ordering::SeqCst) {
            return None;
        }
        *self
            .abort_only
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn check_open(&self) -> Result<(), Error> {
        match self.abort_reason() {
            None => Ok(()),
            Some((bind, reason)) => Err(Error::AbortOnly { bind, reason }),
        }
    }

    pub(super) fn unit(&self) -> UnitId {
        *self.unit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The savepoints that are open.
    pub(super) fn savepoints(&self) -> &AtomicUsize {
        &self.savepoints
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = &dyn AnySlot> {
        self.slots
            .iter()
            .filter_map(|slot| slot.get().map(AsRef::as_ref))
    }

    /// The key of a bind of the unit, for what is of no bind.
    pub(super) fn first_bind(&self) -> &'static str {
        self.slots().next().map_or("", |slot| slot.key())
    }

    /// Whether a transaction of the unit has begun on any bind.
    pub(super) fn has_begun(&self) -> bool {
        self.slots().any(|slot| !slot.is_empty())
    }

    /// Takes all leases out, for the commit or the roll-back of the unit, and starts a new unit.
    ///
    /// Either all or, if one is in use, none.
    pub(super) fn take_all(&self) -> Result<Ending, CommitError> {
        if let Some(busy) = self.slots().find(|slot| slot.is_busy()) {
            return Err(CommitError::Busy { bind: busy.key() });
        }
        let mut participants = Vec::new();
        for slot in self.slots() {
            match slot.take() {
                Ok(participant) => participants.extend(participant),
                // Somebody shares the session and was faster. What was taken is rolled back: a part of a unit must
                // not be committed.
                Err(_) => {
                    self.abort_only(slot.key(), AbortReason::Incomplete);
                    return Err(CommitError::Busy { bind: slot.key() });
                }
            }
        }
        let hooks = self.hooks.take();
        Ok((self.renew(), participants, hooks))
    }

    /// Takes the lease of one bind out.
    ///
    /// Its commit gets an id of its own: a decision recorded under the id of the unit would later pass for that of the
    /// rest, and bring up what was prepared beside work that was rolled back.
    pub(super) fn take_one<B: Bind>(&self) -> Result<(UnitId, Vec<Box<dyn Participant>>), Error> {
        let (position, slot) = self.slot::<B>()?;
        let Ok(participant) = slot.take() else {
            return Err(CommitError::Busy {
                bind: slot.entry.key,
            }
            .into());
        };
        let _ =
            self.only_holder
                .compare_exchange(position, NOBODY, Ordering::SeqCst, Ordering::SeqCst);
        Ok((UnitId::generate(), participant.into_iter().collect()))
    }

    /// Starts a new unit, and returns the id of the old one.
    fn renew(&self) -> UnitId {
        self.declared.renew();
        self.only_holder.store(NOBODY, Ordering::SeqCst);
        *self
            .abort_only
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
        self.is_abort_only.store(false, Ordering::SeqCst);
        std::mem::replace(
            &mut self.unit.lock().unwrap_or_else(PoisonError::into_inner),
            UnitId::generate(),
        )
    }
}

/// Marks the unit if a begin is dropped half-way.
struct Beginning<'s> {
    core: &'s Core,
    bind: &'static str,
    replied: bool,
}

impl Drop for Beginning<'_> {
    fn drop(&mut self) {
        if !self.replied {
            self.core.abort_only(self.bind, AbortReason::Incomplete);
        }
    }
}
