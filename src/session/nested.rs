//! Work that is nested in a unit: whether it joins that, stands alone, or is refused.

use std::sync::Arc;

use crate::error::{AbortReason, Error};
use crate::registry::Binds;
use crate::session::closure::Work;
use crate::session::lent::{Lent, Nested};
use crate::session::{Session, SessionOptions};

/// What [`Session::transaction`] does where a unit is open in the session.
///
/// A unit is open from its first query to its end, and within a closure that decides about it
/// ([`Binds::transaction`](crate::Binds::transaction), [`Session::transaction`], [`Session::savepoint`], a hook).
///
/// | | a unit is open | none is open |
/// |---|---|---|
/// | [`Join`](Self::Join) | the work is part of it | the work is a unit of the session |
/// | [`New`](Self::New) | the work is a unit of its own, on other connections | the same |
/// | [`Never`](Self::Never) | [`Error::InsideUnit`] | the work is a unit of the session |
///
/// A part that can be undone by itself is a [`savepoint`](Session::savepoint).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Propagation {
    /// Takes part in the unit, which somebody further out commits. If the work fails, the unit can only be rolled back:
    /// who swallows the error does not commit half of it.
    Join,
    /// Stands alone: it is committed or rolled back before the call returns, whatever becomes of the unit around it.
    ///
    /// It does not see what that one wrote, and waits for its locks: for ever, if it needs one of them and there is no
    /// timeout. It takes further connections while the unit holds its own: a pool that is empty starves both.
    New,
    /// Refuses to be a part: when the call returns `Ok`, the work is committed.
    Never,
}

impl Session {
    /// Runs `work` as a part of the unit, or as one of its own, as [`Propagation`] says.
    ///
    /// Inside, the unit cannot be ended: the result of the closure decides, and where it joined, that of whoever is
    /// further out.
    ///
    /// # Errors
    ///
    /// What the closure returns; [`Error::InsideUnit`] if it must not be a part, and nothing of it ran;
    /// [`Error::Commit`] if its `Ok` could not be committed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the unit of the session abort-only; a new one is rolled back in the background.
    ///
    /// # Example
    ///
    /// ```
    /// use diesel_binds::{Error, Propagation, Session};
    ///
    /// async fn pay(session: &mut Session) -> Result<(), Error> {
    ///     // alone, or as a part of what the caller does
    ///     session.transaction(Propagation::Join, async |session| { let _ = session; Ok(()) }).await
    /// }
    /// ```
    pub async fn transaction<R, E, F>(&mut self, propagation: Propagation, work: F) -> Result<R, E>
    where
        for<'s> F: AsyncFn(&'s mut Session) -> Result<R, E>
            + Work<&'s mut Session, Result<R, E>, Future: Send>
            + Send,
        E: From<Error> + Send,
        R: Send,
    {
        let is_part = self.core().is_in_unit();
        match propagation {
            // The only connection of the bind is taken.
            Propagation::New if is_part && self.core().is_joined() => {
                return Err(Error::Unsupported {
                    bind: self.core().first_bind(),
                    option: "Propagation::New",
                    reason: "the unit is open on the only connection that its session has joined, or that its sandbox has",
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
            // Whose unit this is now is for nobody to end.
            nested.done();
            return lent.result(self, result);
        }
        if is_part && result.is_err() {
            self.core()
                .abort_only(self.core().first_bind(), AbortReason::Joined);
        }
        nested.done();
        drop(nested);
        if is_part {
            result
        } else {
            self.end(result).await
        }
    }

    /// A session of its own, with the options of this one and what is left of its time.
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
