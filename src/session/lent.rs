//! A session in the hands of a closure or a hook, which must leave it where it was lent.
//!
//! A closure that is lent `&mut Session` can put another session in its place, and safe Rust cannot keep it from that. What
//! ends afterwards would be the unit of the other session, with the result of this one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::{AbortReason, Error};
use crate::session::Session;
use crate::session::session::Shared;

/// Another session stands in the place of the one that was lent.
#[derive(Debug)]
pub(crate) struct Exchanged {
    /// A bind of one of the two.
    pub(super) bind: &'static str,
}

impl From<Exchanged> for Error {
    fn from(exchanged: Exchanged) -> Self {
        AbortReason::Exchanged.on(exchanged.bind)
    }
}

/// What is kept of a session while it is lent.
pub(crate) struct Lent {
    shared: Arc<Shared>,
}

impl Lent {
    /// To be called before the session is lent.
    pub(crate) fn of(session: &Session) -> Self {
        Self {
            shared: Arc::clone(&session.shared),
        }
    }

    /// The result of a closure that was lent the session: an error, if that is not back in its place.
    ///
    /// The error of the closure itself stays.
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

    /// Makes sure that the session is back in its place. If it is not, neither unit can commit any more, and that of the
    /// session that was lent is rolled back in the background.
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
        self.shared.core.forsake();
        Err(Exchanged { bind })
    }
}

/// A closure that has the session and does not end its unit. Dropped before it is done, the unit can only be rolled
/// back.
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
        self.shared.core.nested.fetch_sub(1, Ordering::SeqCst);
        if !self.done {
            self.shared
                .core
                .abort_only(self.shared.core.first_bind(), self.otherwise);
        }
    }
}
