//! Sessions that are lent to a closure or a hook, which must leave them in their place.
//!
//! A closure with a `&mut Session` can put another session in its place, and safe Rust cannot prevent that. The unit of
//! the other session would then end with the result of the closure.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::{AbortReason, Error};
use crate::session::Session;
use crate::session::session::Shared;

/// The fact that another session is in the place of the lent one.
#[derive(Debug)]
pub(crate) struct Exchanged {
    /// A bind of one of the two sessions.
    pub(super) bind: &'static str,
}

impl From<Exchanged> for Error {
    fn from(exchanged: Exchanged) -> Self {
        AbortReason::Exchanged.on(exchanged.bind)
    }
}

/// The identity of a session while it is lent.
pub(crate) struct Lent {
    shared: Arc<Shared>,
}

impl Lent {
    /// Stores the identity of the session. Call it before the session is lent.
    pub(crate) fn of(session: &Session) -> Self {
        Self {
            shared: Arc::clone(&session.shared),
        }
    }

    /// Returns the result of a closure that was lent the session, or an error if another session is in its place.
    ///
    /// If the closure itself failed, its error is returned.
    pub(crate) fn result<R, E: From<Error>>(
        &self,
        session: &Session,
        result: Result<R, E>,
    ) -> Result<R, E> {
        match self.taken_back(session) {
            Err(exchanged) if result.is_ok() => Err(Error::from(exchanged).into()),
            _ => result,
        }
    }

    /// Makes sure that the session is in its place. If it is not, both units become abort-only, and the unit of the
    /// lent session is rolled back in the background.
    pub(crate) fn taken_back(&self, session: &Session) -> Result<(), Exchanged> {
        if Arc::ptr_eq(&self.shared, &session.shared) {
            return Ok(());
        }
        let bind = match self.shared.core.first_bind() {
            "" => session.core().first_bind(),
            bind => bind,
        };
        let reason = AbortReason::Exchanged;
        session.core().abort_only(bind, reason);
        self.shared.core.abort_only(bind, reason);
        self.shared.core.roll_back_leases();
        Err(Exchanged { bind })
    }
}

/// A running closure that has the session and does not end its unit. Dropping it before it is done makes the unit
/// abort-only.
pub(super) struct Nested {
    shared: Arc<Shared>,
    otherwise: AbortReason,
    done: bool,
}

impl Nested {
    pub(super) fn enter(session: &Session, otherwise: AbortReason) -> Self {
        session.core().nested.fetch_add(1, Ordering::SeqCst);
        Self {
            shared: Arc::clone(&session.shared),
            otherwise,
            done: false,
        }
    }

    pub(super) fn done(&mut self) {
        self.done = true;
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        let core = &self.shared.core;
        core.nested.fetch_sub(1, Ordering::SeqCst);
        if !self.done {
            core.abort_unit(self.otherwise);
        }
    }
}
