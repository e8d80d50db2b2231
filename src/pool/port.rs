//! The operations of a unit of work on a pool.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::error::{BoxError, PoolError};

/// A pool of connections `C`: one of deadpool or of bb8, each with its feature.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a pool of the connections of this bind",
    label = "not a pool of `{C}`",
    note = "pass a pool of deadpool or bb8, with the feature of that name turned on, of the connection type in `#[bind(connection = …)]`",
    note = "a URL is a `Source::url(..)`"
)]
pub trait IntoPool<C>: sealed::Sealed {
    #[doc(hidden)]
    fn into_pool(self) -> Box<dyn Pool<C>>;
}

/// Returns the error of a pool that could not open a connection, without the URL. A driver that cannot parse a URL
/// repeats a part of it, which may be the password.
#[cfg(any(feature = "deadpool", feature = "bb8"))]
pub(super) fn connect_error(error: impl std::error::Error + Send + Sync + 'static) -> BoxError {
    use diesel_async::pooled_connection::PoolError as Opened;

    let error: BoxError = Box::new(error);
    match error.downcast_ref() {
        Some(Opened::ConnectionError(diesel::ConnectionError::InvalidConnectionUrl(_))) => {
            "the driver cannot read the URL of the pool".into()
        }
        _ => error,
    }
}

/// Returns the error of a connection that could not be opened in time.
#[cfg(any(feature = "deadpool", feature = "bb8"))]
pub(super) fn opened_late(limit: Duration) -> String {
    format!("no connection was opened within {limit:?}")
}

pub(crate) mod sealed {
    /// Prevents implementations of [`IntoPool`](super::IntoPool) outside of this crate.
    pub trait Sealed {}
}

/// The operations of a unit of work on a pool.
#[doc(hidden)]
pub trait Pool<C>: Send + Sync {
    /// Checks a connection out. Waits as long as the pool does: forever, if it has no limit.
    ///
    /// If the future is dropped, a connection that was already checked out goes back.
    fn checkout(&self) -> BoxFuture<'_, Result<Box<dyn Pooled<C>>, PoolError>>;

    /// Opens a connection that the pool does not count, so that recovery works when the pool is exhausted.
    fn connect(&self) -> BoxFuture<'_, Result<C, BoxError>>;

    /// Returns the longest time that a checkout waits for a connection in use, if the pool has a limit.
    fn wait_limit(&self) -> Option<Duration>;

    /// Returns the current number of connections.
    fn size(&self) -> usize;

    /// Returns the maximum number of connections.
    fn max_size(&self) -> usize;

    /// Closes the connections that nobody uses, if the pool supports it. Call it within a tokio runtime.
    fn close_idle(&self);

    /// Refuses new checkouts, if the pool supports it.
    fn close(&self);
}

/// A connection of a pool.
///
/// Dropping it returns it to the pool, which discards it if Diesel calls it broken.
#[doc(hidden)]
pub trait Pooled<C>: Send {
    fn connection(&mut self) -> &mut C;

    /// Takes the connection out of the pool and closes it without a message to the server, if the pool supports it.
    fn close(self: Box<Self>);
}
