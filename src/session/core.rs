//! What a session is made of: a slot for each bind, and the state of its unit of work.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::bind::{Access, Bind};
use crate::commit::{CommitError, Participant};
use crate::error::{AbortReason, Error};
use crate::gid::UnitId;
use crate::registry::Registry;
use crate::session::deadline::Deadline;
use crate::session::slot::{AnySlot, Slot};
use crate::session::unit_options::UnitOptions;
use crate::trace::CurrentTrace;

/// No bind that cannot prepare has written.
const NOBODY: usize = usize::MAX;

/// The slots of a session, and the state of its unit.
pub(crate) struct Core {
    pub(super) registry: Arc<Registry>,
    pub(super) options: UnitOptions,
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
    /// The position of the first bind that wrote and cannot prepare.
    only_holder: AtomicUsize,
    is_abort_only: AtomicBool,
    abort_only: Mutex<Option<(&'static str, AbortReason)>>,
}

impl Core {
    pub(super) fn new(registry: Arc<Registry>, options: UnitOptions, managed: bool) -> Self {
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
            only_holder: AtomicUsize::new(NOBODY),
            is_abort_only: AtomicBool::new(false),
            abort_only: Mutex::new(None),
        }
    }

    /// The slot of `B`.
    pub(super) fn slot<B: Bind>(&self) -> Result<(usize, &Slot<B::Connection>), Error> {
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

    /// Whether nothing is committed at the end of a unit: it is in transactions of somebody else, or in a sandbox.
    pub(super) fn is_joined(&self) -> bool {
        self.joins_others() || self.registry.is_sandbox()
    }

    /// Whether the units of the session are in transactions of somebody else.
    pub(super) fn joins_others(&self) -> bool {
        !self.options.joined.is_empty()
    }

    /// Whether a closure decides about the unit.
    fn is_decided_elsewhere(&self) -> bool {
        let within = |depth: &AtomicUsize| depth.load(Ordering::SeqCst) > 0;
        self.managed || within(self.savepoints()) || within(&self.nested)
    }

    /// Whether a unit is open.
    pub(super) fn is_in_unit(&self) -> bool {
        self.is_decided_elsewhere() || self.slots().any(|slot| slot.is_begun())
    }

    /// Whether the caller may end the unit.
    pub(super) fn check_may_end(&self) -> Result<(), CommitError> {
        if self.is_decided_elsewhere() {
            return Err(CommitError::InsideTransaction);
        }
        Ok(())
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

    pub(super) fn check_open(&self) -> Result<(), Error> {
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
    pub(super) fn take_all(&self) -> Result<(UnitId, Vec<Box<dyn Participant>>), CommitError> {
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
        Ok((self.renew(), participants))
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
