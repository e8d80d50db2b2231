//! What is needed of a pool.

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

/// What a pool says of a connection that it could not open, without the URL: a driver that cannot read one repeats
/// the part that it stumbled over, which may be the password.
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

pub(crate) mod sealed {
    /// Keeps [`IntoPool`](super::IntoPool) ours.
    pub trait Sealed {}
}

/// What a unit of work needs of a pool.
#[doc(hidden)]
pub trait Pool<C>: Send + Sync {
    /// Takes a connection. Waits as long as the pool does: forever, if it has no limit.
    ///
    /// Dropping the future gives a connection that was found back.
    fn checkout(&self) -> BoxFuture<'_, Result<Box<dyn Pooled<C>>, PoolError>>;

    /// Opens a connection that the pool does not count: recovery works when the pool is exhausted.
    fn connect(&self) -> BoxFuture<'_, Result<C, BoxError>>;

    /// How long a checkout waits at most for a connection that is in use, if the pool has a limit.
    fn wait_limit(&self) -> Option<Duration>;

    /// How many connections it has now.
    fn size(&self) -> usize;

    /// How many connections it holds at most.
    fn max_size(&self) -> usize;

    /// Refuses new checkouts, where the pool knows how to.
    fn close(&self);
}

/// A connection of a pool.
///
/// Dropping it gives it back, and the pool throws it away if Diesel calls it broken.
#[doc(hidden)]
pub trait Pooled<C>: Send {
    /// The connection.
    fn connection(&mut self) -> &mut C;

    /// Takes the connection out of the pool and closes it, without asking it anything, where the pool knows how to.
    fn close(self: Box<Self>);
}
