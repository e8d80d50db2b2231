//! The core of a session: a slot for each bind, and the state of the unit of work.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};

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
    /// `true` if the result of a closure ends the unit. The session itself may then not commit or roll back.
    pub(super) managed: bool,
    unit: Mutex<UnitState>,
    pub(super) trace: CurrentTrace,
    /// The number of open savepoints.
    pub(super) savepoints: AtomicUsize,
    /// The number of running closures that have the session and do not end its unit.
    pub(super) nested: AtomicUsize,
}

/// State that lasts for one unit.
#[derive(Default)]
struct UnitState {
    /// The id of the unit, once the unit has begun or the application has read its id.
    id: Option<UnitId>,
    /// The deadline of the unit. The first statement of a later unit sets a new one.
    deadline: Option<Deadline>,
    /// The position of the first bind that wrote and cannot prepare.
    only_holder: Option<usize>,
    /// The bind and the reason, if the unit can only be rolled back.
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

    /// Returns the slot of `B` and its position.
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

    /// Returns the widest access to `B` that the unit has.
    pub(super) fn widest_access<B: Bind>(&self) -> Result<Access, Error> {
        let (_, slot) = self.slot::<B>()?;
        Ok(match self.is_read_only(&slot.entry) {
            true => Access::Read,
            false => Access::Write,
        })
    }

    /// Admits the first writing statement on a bind, unless the unit could then not commit atomically.
    pub(super) fn admit_writer(
        &self,
        position: usize,
        second: &'static str,
        cannot_prepare: Option<&str>,
    ) -> Result<(), Error> {
        let Some(reason) = cannot_prepare.filter(|_| !self.has_outer_connections()) else {
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

    /// Returns whether the end of a unit commits nothing, because it is within outer transactions or in a sandbox.
    pub(super) fn is_within_outer(&self) -> bool {
        self.has_outer_connections() || self.registry.is_sandbox()
    }

    /// Returns whether the units of the session are within outer transactions.
    pub(super) fn has_outer_connections(&self) -> bool {
        !self.options.outer.is_empty()
    }

    /// Returns whether the unit belongs to a running closure, so that the session may not end it.
    fn is_decided_elsewhere(&self) -> bool {
        let within = |depth: &AtomicUsize| depth.load(Ordering::SeqCst) > 0;
        self.managed || within(&self.savepoints) || within(&self.nested)
    }

    /// Returns whether a unit is open.
    pub(super) fn is_in_unit(&self) -> bool {
        self.is_decided_elsewhere() || self.has_begun()
    }

    /// Fails if the unit belongs to a running closure.
    pub(super) fn check_may_end(&self) -> Result<(), CommitError> {
        if self.is_decided_elsewhere() {
            return Err(CommitError::InsideTransaction);
        }
        Ok(())
    }

    /// Returns whether a database aborted the unit because of a conflict.
    pub(super) fn met_conflict(&self) -> bool {
        self.slots().any(|slot| slot.met_conflict())
    }

    /// Returns the deadline of the unit.
    pub(super) fn deadline(&self) -> Deadline {
        let within = self.options.deadline;
        if within.is_none() {
            return Deadline::within(None);
        }
        let deadline = &mut self.state().deadline;
        *deadline.get_or_insert_with(|| Deadline::within(within))
    }

    /// Makes the unit abort-only. The first reason stays.
    pub(super) fn abort_only(&self, bind: &'static str, reason: AbortReason) {
        self.state().abort_only.get_or_insert((bind, reason));
    }

    /// Makes the unit abort-only for a reason that belongs to no bind in particular.
    pub(super) fn abort_unit(&self, reason: AbortReason) {
        self.abort_only(self.first_bind(), reason);
    }

    /// Returns the bind and the reason, if the unit is abort-only.
    pub(super) fn abort_reason(&self) -> Option<(&'static str, AbortReason)> {
        self.state().abort_only
    }

    /// Fails if the unit is abort-only.
    pub(super) fn check_open(&self) -> Result<(), Error> {
        match self.abort_reason() {
            None => Ok(()),
            Some((bind, reason)) => Err(Error::AbortOnly { bind, reason }),
        }
    }

    /// Returns the id of the unit, and makes it on the first call. A unit that has not begun keeps this id when it
    /// begins.
    pub(super) fn unit(&self) -> UnitId {
        let id = &mut self.state().id;
        *id.get_or_insert_with(|| self.registry.clock.generate())
    }

    /// Returns the id of the unit, if it has one.
    pub(super) fn known_unit(&self) -> Option<UnitId> {
        self.state().id
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = &dyn AnySlot> {
        self.slots
            .iter()
            .filter_map(|slot| slot.get().map(AsRef::as_ref))
    }

    /// Returns the key of one bind of the unit, for an error that belongs to no bind in particular.
    pub(super) fn first_bind(&self) -> &'static str {
        self.slots().next().map_or("", |slot| slot.key())
    }

    /// Returns whether a transaction of the unit has begun on any bind, or may have.
    pub(super) fn has_begun(&self) -> bool {
        self.slots().any(|slot| !slot.is_empty())
    }

    /// Takes out all leases, to commit or roll back the unit, and starts a new unit.
    ///
    /// Takes none if one is in use.
    pub(super) fn take_all(&self) -> Result<(UnitId, Vec<Box<dyn Participant>>), CommitError> {
        if let Some(busy) = self.slots().find(|slot| slot.is_busy()) {
            return Err(CommitError::Busy { bind: busy.key() });
        }
        let mut participants = Vec::new();
        for slot in self.slots() {
            match slot.take() {
                Ok(participant) => participants.extend(participant),
                // Another handle of the session locked this slot after the check. The leases taken so far roll back
                // when they are dropped: a part of a unit must not be committed.
                Err(_) => {
                    self.abort_only(slot.key(), AbortReason::Incomplete);
                    return Err(CommitError::Busy { bind: slot.key() });
                }
            }
        }
        Ok((self.renew(), participants))
    }

    /// Rolls the unit back in the background without starting a new one, because its owner did not end it.
    pub(super) fn roll_back_leases(&self) {
        for slot in self.slots() {
            // The user of a busy lease rolls it back later, because the unit is abort-only.
            drop(slot.take());
        }
    }

    /// Takes out the lease of one bind, with an id of its own for its commit.
    ///
    /// With the id of the unit, this decision would also count for the other binds. Recovery would later commit their
    /// branches, although the rest of the unit was rolled back.
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

    /// Starts a new unit, which gets its id when it begins, and returns the id of the old one.
    fn renew(&self) -> UnitId {
        let ended = mem::take(&mut *self.state());
        ended.id.unwrap_or_else(|| self.registry.clock.generate())
    }

    fn state(&self) -> MutexGuard<'_, UnitState> {
        self.unit.lock()
    }
}
