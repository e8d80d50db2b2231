//! Repetition of units that a database aborted because of a conflict.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

use crate::commit::Commit;
use crate::error::Error;
use crate::registry::Binds;
use crate::session::closure::Work;
use crate::session::deadline::Deadline;
use crate::session::lent::Lent;
use crate::session::units::Units;
use crate::session::{Session, SessionOptions};

/// The number of attempts of a unit, and the delays between them. See [`Binds::retrying`].
#[derive(Clone, Debug)]
pub struct Retry {
    attempts: NonZeroU32,
    first_delay: Duration,
    longest_delay: Duration,
}

impl Retry {
    /// Returns the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how often the unit runs at most, including the first time; 0 counts as 1. Defaults to 5.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = NonZeroU32::new(attempts).unwrap_or(NonZeroU32::MIN);
        self
    }

    /// Sets the delay before the second attempt, and the longest delay. The delay doubles before each further attempt.
    /// A random part of it is added, so that units that conflicted do not meet again. Defaults to 10 milliseconds and 1
    /// second.
    #[must_use]
    pub fn delay(mut self, first: Duration, longest: Duration) -> Self {
        self.first_delay = first;
        self.longest_delay = longest;
        self
    }

    fn delays(&self) -> ExponentialBackoff {
        ExponentialBuilder::new()
            .with_min_delay(self.first_delay)
            .with_max_delay(self.longest_delay.max(self.first_delay))
            .with_factor(2.0)
            .with_max_times(usize::MAX)
            .with_jitter()
            .build()
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: NonZeroU32::new(5).expect("5 is not 0"),
            first_delay: Duration::from_millis(10),
            longest_delay: Duration::from_secs(1),
        }
    }
}

impl Binds {
    /// Returns a runner that repeats a unit after a conflict with another unit: a deadlock, a serialization failure, or, on
    /// MariaDB and SQLite, a lock that was not free in time.
    ///
    /// | | errors that count as a conflict |
    /// |---|---|
    /// | PostgreSQL | 40001 (serialization failure), 40P01 (deadlock) |
    /// | MySQL, MariaDB | 1213 (deadlock), 1205 (lock wait timeout), 1020 (a row changed since the snapshot) |
    /// | SQLite | `SQLITE_BUSY` |
    /// | all | [`Error::StaleConnection`](crate::Error::StaleConnection) |
    ///
    /// These are the errors of which [`Error::is_retryable`](crate::Error::is_retryable) is `true`. In addition, the runner
    /// asks MariaDB for the number of an error in another language, and remembers a conflict that a later error of the
    /// unit hides.
    ///
    /// A unit that failed for another reason is not run again. Nor is one whose outcome is not known for certain, or
    /// whose sandbox (`testing::Sandbox`) has lost its transaction. The closure runs again on a new session, and
    /// repeats its effects outside of the session.
    ///
    /// # Example
    ///
    /// ```
    /// use diesel_binds::{Binds, Error, Retry, Session};
    ///
    /// async fn book(session: &mut Session) -> Result<(), Error> {
    /// #   let _ = session;
    ///     // queries on any bind
    ///     Ok(())
    /// }
    ///
    /// async fn handle(binds: &Binds) -> Result<(), Error> {
    ///     binds
    ///         .retrying(Retry::new().attempts(3))
    ///         .transaction(async |session| book(session).await)
    ///         .await?;
    ///     Ok(())
    /// }
    /// ```
    #[must_use = "it runs no unit by itself"]
    pub fn retrying(&self, retry: Retry) -> Retrying<'_> {
        self.with(SessionOptions::default()).retrying(retry)
    }
}

impl<'b> Units<'b> {
    /// Returns a runner that repeats a unit with the options after a conflict, as [`Binds::retrying`] does. A deadline
    /// covers all attempts.
    #[must_use = "it runs no unit by itself"]
    pub fn retrying(self, retry: Retry) -> Retrying<'b> {
        Retrying { units: self, retry }
    }
}

/// A runner that repeats units after a conflict. See [`Binds::retrying`].
#[derive(Clone, Debug)]
pub struct Retrying<'b> {
    units: Units<'b>,
    retry: Retry,
}

impl Retrying<'_> {
    /// Runs `work` in a unit of its own, as [`Binds::transaction`] does, and repeats it after a conflict.
    ///
    /// # Errors
    ///
    /// The error of the last attempt, with the number of attempts. Either it was no conflict, or no attempt was left,
    /// or the deadline left no time.
    ///
    /// # Cancel safety
    ///
    /// The current attempt ends as in [`Binds::transaction`].
    pub async fn transaction<R, E, F>(&self, work: F) -> Result<R, Retried<E>>
    where
        for<'s> F: AsyncFn(&'s mut Session) -> Result<R, E>
            + Work<&'s mut Session, Result<R, E>, Future: Send>
            + Send
            + Sync,
        E: From<Error> + Send,
        R: Send,
    {
        self.transaction_with_commit(work)
            .await
            .map(|(result, _)| result)
    }

    /// Runs `work` like [`transaction`](Self::transaction), and also returns the result of the commit. Within outer transactions,
    /// it is [`Commit::Released`].
    ///
    /// # Errors
    ///
    /// See [`transaction`](Self::transaction).
    ///
    /// # Cancel safety
    ///
    /// See [`transaction`](Self::transaction).
    pub async fn transaction_with_commit<R, E, F>(&self, work: F) -> Result<(R, Commit), Retried<E>>
    where
        for<'s> F: AsyncFn(&'s mut Session) -> Result<R, E>
            + Work<&'s mut Session, Result<R, E>, Future: Send>
            + Send
            + Sync,
        E: From<Error> + Send,
        R: Send,
    {
        let mut options = self.units.options.clone();
        let deadline = Deadline::within(options.unit.deadline);
        let mut delays = self.retry.delays();
        let mut attempts = NonZeroU32::MIN;
        options.unit.notes_conflicts = true;
        loop {
            let left = options.clone().leaving(deadline.left());
            let mut session = Session::new(self.units.binds, left, true);
            let lent = Lent::of(&session);
            let result = work(&mut session).await;
            let result = lent.result(&session, result);
            let (error, gave_way) = match session.attempted(result).await {
                Ok(done) => return Ok(done),
                Err(failed) => failed,
            };
            let delay = delays.next().unwrap_or(self.retry.longest_delay);
            let is_in_time = deadline.left().is_none_or(|left| delay < left);
            if !gave_way || attempts >= self.retry.attempts || !is_in_time {
                return Err(Retried { attempts, error });
            }
            tracing::debug!(unit = %session.unit(), attempts, ?delay, "a unit is run again");
            drop(session);
            attempts = attempts.saturating_add(1);
            tokio::time::sleep(delay).await;
        }
    }
}

/// The error of a unit that may have been run several times.
///
/// `?` converts it into an [`Error`], if `E` is one.
pub struct Retried<E> {
    attempts: NonZeroU32,
    error: E,
}

impl<E> Retried<E> {
    /// Returns how often the unit ran.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts.get()
    }

    /// Returns the error of the last attempt.
    #[must_use]
    pub fn error(&self) -> &E {
        &self.error
    }

    /// Returns the error of the last attempt by value.
    #[must_use]
    pub fn into_error(self) -> E {
        self.error
    }
}

impl<E> fmt::Display for Retried<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.attempts.get() {
            1 => f.write_str("the unit failed, and must not be run again"),
            attempts => write!(f, "the unit failed {attempts} times"),
        }
    }
}

/// Prints the message with its cause for `{:?}` and the fields for `{:#?}`, like the errors of this library.
impl<E: fmt::Debug> fmt::Debug for Retried<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return f
                .debug_struct("Retried")
                .field("attempts", &self.attempts)
                .field("error", &self.error)
                .finish();
        }
        write!(f, "{self}: {:?}", self.error)
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Retried<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<Retried<Error>> for Error {
    fn from(retried: Retried<Error>) -> Self {
        match retried.attempts.get() {
            1 => retried.error,
            attempts => Self::Retried {
                attempts,
                source: Box::new(retried.error),
            },
        }
    }
}
