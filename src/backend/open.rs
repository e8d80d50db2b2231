//! The way to open a connection.

use futures_util::future::BoxFuture;

/// A function that opens a connection by a URL.
pub(crate) type Open<C> =
    dyn for<'a> Fn(&'a str) -> BoxFuture<'a, diesel::ConnectionResult<C>> + Send + Sync;
