//! What a session is made of: a slot for each bind, and the state of its unit of work.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::bind::{Access, Bind};
use crate::commit::{CommitError, Participant};
use crate::error::{AbortReason, Error};
use crate::gid::UnitId;
use crate::registry::Registry;
use crate::session::deadline::Deadline;
use crate::session::slot::{AnySlot, Slot};
use crate::session::unit_options::UnitOptions;
use crate::trace::CurrentTrace;

/// The slots of a session, and the state of its unit.
pub(crate) struct Core {
    pub(super) registry: Arc<Registry>,
    pub(super) options: UnitOptions,
    slots: Box<[OnceLock<Box<dyn AnySlot>>]>,
    /// Commit and roll-back are not the session's to call: a closure decides by its result.
    pub(super) managed: bool,
    unit: Mutex<UnitState>,
    pub(super) trace: CurrentTrace,
    savepoints: AtomicUsize,
    /// Closures that have the session, and do not end its unit.
    pub(super) nested: AtomicUsize,
}

/// What is of one unit, and gone with it.
#[derive(Default)]
struct UnitState {
    /// Its id, once it began or somebody asked for that.
    id: Option<UnitId>,
    /// When it must be done. That of a later unit is set by its first statement.
    deadline: Option<Deadline>,
    /// The position of the first bind that wrote and cannot prepare.
    only_holder: Option<usize>,
    /// Why it can only be rolled back, if so.
    abort_only: Option<(&'static str, AbortReason)>,
}

impl Core {
    pub(super) fn new(registry: Arc<Registry>, options: UnitOptions, managed: bool) -> Self {
        let slots = registry.entries.iter().map(|_| OnceLock::new()).collect();
        Self {
            unit: Mutex::new(UnitState {
                deadline: Some(Deadline::within(options.deadline)),
                ..UnitState::default()
            }),
            registry,
            options,
            slots,
            managed,
            trace: CurrentTrace::default(),
            savepoints: AtomicUsize::new(0),
            nested: AtomicUsize::new(0),
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
        let first = *self.state().only_holder.get_or_insert(position);
        if first == position || self.options.best_effort {
            return Ok(());
        }
        Err(Error::NotAtomic {
            first: self.registry.entries[first].key(),
            second,
            reason: reason.into(),
        })
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
        let deadline = &mut self.state().deadline;
        *deadline.get_or_insert_with(|| Deadline::within(within))
    }

    /// Notes that the unit can only be rolled back. The first reason stays.
    pub(super) fn abort_only(&self, bind: &'static str, reason: AbortReason) {
        self.state().abort_only.get_or_insert((bind, reason));
    }

    /// Why the unit can only be rolled back, if so.
    pub(super) fn abort_reason(&self) -> Option<(&'static str, AbortReason)> {
        self.state().abort_only
    }

    pub(super) fn check_open(&self) -> Result<(), Error> {
        match self.abort_reason() {
            None => Ok(()),
            Some((bind, reason)) => Err(Error::AbortOnly { bind, reason }),
        }
    }

    /// The id of the unit. Whoever asks first has it made: before the unit begins, that is a promise.
    pub(super) fn unit(&self) -> UnitId {
        let id = &mut self.state().id;
        *id.get_or_insert_with(|| self.registry.clock.generate())
    }

    /// The id of the unit, if it has one.
    pub(super) fn known_unit(&self) -> Option<UnitId> {
        self.state().id
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
        self.state().only_holder.take_if(|first| *first == position);
        let part = self.registry.clock.generate();
        Ok((part, participant.into_iter().collect()))
    }

    /// Starts a new unit, which gets its id when it begins, and returns that of the old one.
    fn renew(&self) -> UnitId {
        let ended = mem::take(&mut *self.state());
        ended.id.unwrap_or_else(|| self.registry.clock.generate())
    }

    fn state(&self) -> MutexGuard<'_, UnitState> {
        self.unit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
