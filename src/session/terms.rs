//! The terms of the transaction of a unit on one bind: those of the bind, of the unit, and of its deadline.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::backend::{Connection, Server, Settings, Terms, Unsupported};
use crate::error::Error;
use crate::gid::UnitId;
use crate::registry::Entry;
use crate::session::core::Core;

/// The time by which a server waits for a lock longer than the deadline.
const DEADLINE_FIRST: Duration = Duration::from_millis(50);

impl Core {
    /// Returns the settings of the transaction: those of the unit, otherwise those of its bind.
    fn settings<C>(&self, entry: &Entry<C>) -> Settings {
        self.options.settings.or(entry.options.settings)
    }

    /// Refuses settings that the bind does not support.
    pub(super) fn check_settings<C: Connection>(&self, entry: &Entry<C>) -> Result<(), Error> {
        let settings = self.settings(entry);
        let checked = match self.has_outer_connections() {
            _ if self.has_outer_connections() && self.registry.is_sandbox() => Err(Unsupported {
                option: "within",
                reason: "in a sandbox all units are on the connections of the sandbox",
            }),
            true => settings.check_within_outer(),
            false => settings.check(C::BACKEND, self.is_read_only(entry)),
        };
        let sandbox = self.registry.sandbox();
        let ignored = sandbox.is_some_and(|sandbox| sandbox.ignores_settings());
        // The transaction of a sandbox has already begun, with the settings of its bind.
        let checked = checked.and_then(|()| match entry.is_within_outer() {
            true if !ignored => self.options.settings.check_sandboxed(),
            _ => Ok(()),
        });
        checked.map_err(|Unsupported { option, reason }| Error::Unsupported {
            bind: entry.key,
            option,
            reason,
        })
    }

    /// Returns whether the bind is read-only in this unit.
    pub(super) fn is_read_only<C>(&self, entry: &Entry<C>) -> bool {
        self.options.read_only || entry.options.read_only
    }

    /// Returns the terms of the transaction of this unit on one bind.
    pub(super) fn terms<C: Connection>(
        &self,
        entry: &Entry<C>,
        unit: UnitId,
        server: Arc<Server>,
    ) -> Terms {
        let mut terms = entry.terms(unit, server);
        terms.read_only |= self.options.read_only;
        terms.within_outer |= self.has_outer_connections();
        terms.two_phase &= !self.options.read_only && !terms.within_outer;
        terms.settings = self.settings(entry);
        terms.tagged = self.registry.trace.tags;
        terms.savepoints = self.savepoints.load(Ordering::SeqCst);
        if let Some(left) = self.deadline().left() {
            // A little longer, so that the deadline ends the wait and is reported.
            let left = left.saturating_add(DEADLINE_FIRST);
            terms.lock_timeout = terms.lock_timeout.min(left);
            terms.idle_timeout = terms.idle_timeout.max(left.saturating_mul(2));
            terms.time_left = Some(left);
        }
        terms
    }
}
