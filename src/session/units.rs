//! The handle that begins units with options.

use crate::registry::Binds;
use crate::session::{Session, SessionOptions};

/// A handle that begins units with the options of [`Binds::with`].
///
/// Each method uses the handle up. Clone it to begin several units with the same options.
#[derive(Clone, Debug)]
#[must_use = "it begins no unit by itself"]
pub struct Units<'b> {
    pub(super) binds: &'b Binds,
    pub(super) options: SessionOptions,
}

impl Binds {
    /// Returns a handle for units with these options: a session, a closure, a scope, or a closure that is retried.
    ///
    /// [`session`](Self::session), [`transaction`](Self::transaction), [`scope`](Self::scope) and
    /// [`retrying`](Self::retrying) are short forms for units with the default options.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use diesel_binds::{Binds, Error, Session, SessionOptions};
    ///
    /// async fn report(session: &mut Session) -> Result<u64, Error> {
    /// #   let _ = session;
    ///     // queries on any bind
    ///     Ok(7)
    /// }
    ///
    /// async fn handle(binds: &Binds) -> Result<u64, Error> {
    ///     let options = SessionOptions::new().read_only().deadline(Duration::from_secs(5));
    ///     binds.with(options).transaction(report).await
    /// }
    /// ```
    pub fn with(&self, options: SessionOptions) -> Units<'_> {
        Units {
            binds: self,
            options,
        }
    }
}

impl Units<'_> {
    /// Creates a session with the options. Takes no connection yet.
    #[must_use]
    pub fn session(self) -> Session {
        Session::new(self.binds, self.options, false)
    }

    /// Returns the binds of the units.
    pub(crate) fn binds(&self) -> &Binds {
        self.binds
    }
}
