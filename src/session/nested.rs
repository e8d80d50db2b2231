//! Work that is nested in a unit: part of that unit, a unit of its own, or refused.

use std::sync::Arc;

use crate::error::{AbortReason, Error};
use crate::registry::Binds;
use crate::session::closure::WorkOnce;
use crate::session::lent::{Lent, Nested};
use crate::session::{Session, SessionOptions};

/// The behaviour of [`Session::transaction`] if a unit is open in the session.
///
/// A unit is open from its first query to its end. It is also open within a closure whose result ends it
/// ([`Binds::transaction`](crate::Binds::transaction), [`Session::transaction`], [`Session::savepoint`], a hook).
///
/// | | a unit is open | none is open |
/// |---|---|---|
/// | [`Join`](Self::Join) | the work is part of it | the work is a unit of the session |
/// | [`New`](Self::New) | the work is a unit of its own, on other connections | the work is a unit of its own |
/// | [`Never`](Self::Never) | [`Error::InsideUnit`] | the work is a unit of the session |
///
/// For a part that can be undone by itself, use a [`savepoint`](Session::savepoint).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Propagation {
    /// Runs the work as part of the open unit, which an outer caller commits. If the work fails, the unit can only be
    /// rolled back, even if its error is ignored.
    Join,
    /// Runs the work in a unit of its own, which is committed or rolled back before the call returns. The end of the
    /// open unit does not change that.
    ///
    /// The work does not see the writes of the open unit, and waits for its locks. Without a timeout, it waits forever
    /// for a lock of the open unit. It needs further connections while the open unit keeps its own, so an exhausted
    /// pool can block both.
    New,
    /// Fails if a unit is open. If the call returns `Ok`, the work is committed.
    Never,
}

impl Session {
    /// Runs `work` as part of the open unit or in a unit of its own, depending on [`Propagation`].
    ///
    /// The unit cannot be ended within the closure. The result of the closure ends the unit. If the closure joined an
    /// open unit and failed, the unit becomes abort-only.
    ///
    /// # Errors
    ///
    /// The error of the closure. [`Error::InsideUnit`] for [`Propagation::Never`] in an open unit: the closure did not
    /// run. [`Error::Commit`] if the closure returned `Ok` and the commit failed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the unit of the session abort-only. A unit of [`Propagation::New`] is rolled back in
    /// the background.
    ///
    /// # Example
    ///
    /// ```
    /// use diesel_binds::{Error, Propagation, Session};
    ///
    /// async fn pay(session: &mut Session) -> Result<(), Error> {
    ///     // alone, or as a part of the work of the caller
    ///     session.transaction(Propagation::Join, async |session| { let _ = session; Ok(()) }).await
    /// }
    /// ```
    pub async fn transaction<R, E, F>(&mut self, propagation: Propagation, work: F) -> Result<R, E>
    where
        for<'s> F: AsyncFnOnce(&'s mut Session) -> Result<R, E>
            + WorkOnce<&'s mut Session, Result<R, E>, Future: Send>
            + Send,
        E: From<Error> + Send,
        R: Send,
    {
        let is_part = self.core().is_in_unit();
        match propagation {
            // The open unit has the only connection of the bind.
            Propagation::New if is_part && self.core().is_within_outer() => {
                return Err(Error::Unsupported {
                    bind: self.core().first_bind(),
                    option: "Propagation::New",
                    reason: "the unit is open on the only connection: an outer one, or that of its sandbox",
                }
                .into());
            }
            Propagation::New => {
                let mut alone = self.alone();
                let lent = Lent::of(&alone);
                let result = work(&mut alone).await;
                let result = lent.result(&alone, result);
                return alone.end(result).await;
            }
            Propagation::Never if is_part => return Err(Error::InsideUnit.into()),
            Propagation::Join | Propagation::Never => {}
        }
        let mut nested = Nested::enter(self, AbortReason::Incomplete);
        let lent = Lent::of(self);
        let result = work(self).await;
        if lent.taken_back(self).is_err() {
            // Neither unit may be ended: the closure exchanged the session.
            nested.done();
            return lent.result(self, result);
        }
        if is_part && result.is_err() {
            self.core().abort_unit(AbortReason::NestedWorkFailed);
        }
        nested.done();
        drop(nested);
        if is_part {
            result
        } else {
            self.end(result).await
        }
    }

    /// Creates a session with the options of this one and the time that is left until its deadline.
    fn alone(&self) -> Session {
        let options = SessionOptions {
            unit: self.core().options.clone(),
            declared: self.declared().binds.clone(),
        };
        let options = options.leaving(self.core().deadline().left());
        let binds = Binds {
            registry: Arc::clone(&self.core().registry),
        };
        Session::new(&binds, options, true)
    }

    async fn end<R, E: From<Error>>(&mut self, result: Result<R, E>) -> Result<R, E> {
        super::transaction::end(self, result)
            .await
            .map(|(value, _)| value)
    }
}
