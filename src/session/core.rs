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
    /// When the unit must be done. That of a later unit is set by its first statement.
    deadline: Mutex<Option<Deadline>>,
    slots: Box<[OnceLock<Box<dyn AnySlot>>]>,
    /// Commit and roll-back are not the session's to call: a closure decides by its result.
    pub(super) managed: bool,
    /// The unit, once it began or somebody asked for its id.
    unit: Mutex<Option<UnitId>>,
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
            deadline: Mutex::new(Some(Deadline::within(options.deadline))),
            registry,
            options,
            slots,
            managed,
            unit: Mutex::new(None),
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
    /// A statement that was asked for and could not begin makes the unit abort-only: its author counts on it.
    ///
    /// # Cancel safety
    ///
    /// The unit becomes abort-only.
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
        // Cancellation safety: a statement that is dropped while it waits, or whose begin may or may not have reached the
        // server, marks the unit. The lease of such a begin closes its connection.
        let mut asked = Asked {
            core: self,
            bind: key,
            otherwise: Some(AbortReason::Incomplete),
        };
        let beginning = async {
            if !self.options.declared.is_empty() {
                self.declared.begin(self, key).await?;
            }
            self.begun(position, slot).await
        };
        let begun = beginning.await;
        asked.otherwise = begun.as_ref().err().and_then(reason_to_abort);
        drop(asked);
        let mut statement = Statement::new(self, slot, begun?);
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
    ) -> Result<MutexGuard<'s, Option<Box<Lease<C>>>>, Error> {
        if slot.entry.is_beginning() {
            return Err(Error::InsideHook {
                bind: slot.entry.key,
            });
        }
        let mut lease = self
            .deadline()
            .bound(slot.entry.key, Waiting::Statement, slot.lock())
            .await??;
        self.check_open()?;
        if lease.is_none() {
            let mut new = self.enlist(position, slot).await?;
            let bind = slot.entry.key;
            let deadline = self.deadline();
            let begun = deadline.bound(bind, Waiting::Statement, new.begin());
            let later = slot.noting_conflict(begun.await.and_then(|begun| begun))?;
            // Cancellation safety: what a hook did stays with the unit, also where the hook is dropped, panics, or does not
            // end in time. It may have ended the transaction, and the end of the unit says so.
            let hooked = lease.insert(new).run_hooks(later);
            let hooked = deadline.bound(bind, Waiting::Statement, hooked).await;
            let hooked = slot.noting_conflict(hooked.and_then(|hooked| hooked));
            // No statement may follow a hook that did not come to its end.
            if let Err(error) = &hooked {
                let reason = match error {
                    Error::AbortOnly { reason, .. } => *reason,
                    error => reason_to_abort(error).unwrap_or(AbortReason::NotBegun),
                };
                self.abort_only(bind, reason);
            }
            hooked?;
        }
        Ok(lease)
    }

    /// Checks a connection out for the transaction of the unit.
    async fn enlist<C: Connection>(
        &self,
        position: usize,
        slot: &Slot<C>,
    ) -> Result<Box<Lease<C>>, Error> {
        let entry = &slot.entry;
        let bind = entry.key;
        if self.registry.is_closed() {
            return Err(Error::Closed { bind });
        }
        let handle = Handle::try_current().map_err(|_| Error::NoRuntime { bind })?;
        self.registry.start_worker(&handle);
        self.check_settings(entry)?;
        let limit = match self.deadline().left() {
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
            } if self.deadline().has_passed() => Error::DeadlineExceeded {
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
        // A server that nobody asked before sets the clock that stamps the unit.
        let unit = match is_known {
            true => self.unit(),
            false => UnitId::NONE,
        };
        let mut lease = Box::new(Lease::new(
            Arc::clone(entry),
            self.terms(entry, unit, server.unwrap_or_default()),
            pooled,
            handle,
            self.registry.background.clone(),
        ));
        if !is_known {
            // Cancellation safety: the lease closes its connection, which may still be answering.
            let server = self
                .deadline()
                .bound(bind, Waiting::Statement, lease.inspect())
                .await??;
            lease.terms = self.terms(entry, self.unit(), server);
        }
        let unit = lease.terms.unit;
        if !entry.alone && !entry.joins() && self.registry.clock.has_outlived_records(unit) {
            self.abort_only(bind, AbortReason::OutlivedRecords);
            return Err(AbortReason::OutlivedRecords.on(bind));
        }
        let (namespace, parameters) = (&self.registry.namespace, self.registry.trace.parameters);
        lease.unit = self.trace.context(unit, namespace, parameters);
        Ok(lease)
    }

    /// Lets a statement that is the first to write on its bind through, unless the unit could then not commit as one.
    pub(super) fn admit_writer(
        &self,
        position: usize,
        second: &'static str,
        cannot_prepare: Option<&str>,
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
                reason: reason.into(),
            }),
            _ => Ok(()),
        }
    }

    /// Whether a database gave the unit up for the sake of others.
    pub(super) fn met_conflict(&self) -> bool {
        self.slots().any(|slot| slot.met_conflict())
    }

    /// When the unit must be done.
    pub(super) fn deadline(&self) -> Deadline {
        let within = self.options.deadline;
        if within.is_none() {
            return Deadline::within(None);
        }
        let mut deadline = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        *deadline.get_or_insert_with(|| Deadline::within(within))
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

    /// The id of the unit. Whoever asks first has it made: before the unit begins, that is a promise.
    pub(super) fn unit(&self) -> UnitId {
        let mut unit = self.unit.lock().unwrap_or_else(PoisonError::into_inner);
        *unit.get_or_insert_with(|| self.registry.clock.generate())
    }

    /// The id of the unit, if it has one.
    pub(super) fn known_unit(&self) -> Option<UnitId> {
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
        let hooks = self.hooks.take(self.options.hooks_within());
        Ok((self.renew(), participants, hooks))
    }

    /// Rolls the unit back in the background, and leaves the session in it: a unit that was not ended by its owner.
    pub(super) fn forsake(&self) {
        for slot in self.slots() {
            // What is in use is rolled back by whoever has it, since the unit can only be rolled back.
            drop(slot.take());
        }
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
        let part = self.registry.clock.generate();
        Ok((part, participant.into_iter().collect()))
    }

    /// Starts a new unit, which gets its id when it begins, and returns that of the old one.
    fn renew(&self) -> UnitId {
        self.declared.renew();
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.only_holder.store(NOBODY, Ordering::SeqCst);
        *self
            .abort_only
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
        self.is_abort_only.store(false, Ordering::SeqCst);
        let mut unit = self.unit.lock().unwrap_or_else(PoisonError::into_inner);
        unit.take()
            .unwrap_or_else(|| self.registry.clock.generate())
    }
}

/// A statement that was asked for. Dropped before it has begun, the unit can only be rolled back.
struct Asked<'s> {
    core: &'s Core,
    bind: &'static str,
    otherwise: Option<AbortReason>,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if let Some(reason) = self.otherwise {
            self.core.abort_only(self.bind, reason);
        }
    }
}

/// Whether a unit of which a statement could not begin can still commit: only where that statement could never run, so that
/// its author sees it at the first try.
fn reason_to_abort(error: &Error) -> Option<AbortReason> {
    match error {
        Error::DeadlineExceeded { .. } => Some(AbortReason::DeadlineExceeded),
        Error::AbortOnly { .. }
        | Error::BindBusy { .. }
        | Error::InsideHook { .. }
        | Error::NotJoined { .. }
        | Error::UnknownBind { .. }
        | Error::Unsupported { .. } => None,
        _ => Some(AbortReason::NotBegun),
    }
}
