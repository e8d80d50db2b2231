//! The `port` to a connection pool, and an adapter for each: the only place that depends on a pool crate.

// Files, each of which imports only from those before it: `port`, `bb8`, `upkeep`, `deadpool`, `from_url`, `single`.

#[cfg(feature = "bb8")]
mod bb8;
#[cfg(feature = "deadpool")]
mod deadpool;
mod from_url;
mod port;
#[cfg(feature = "testing")]
mod single;
#[cfg(feature = "deadpool")]
mod upkeep;

#[cfg(all(feature = "bb8", not(feature = "deadpool")))]
use self::bb8::from_url as bb8_from_url;
#[cfg(feature = "deadpool")]
use self::deadpool::from_url as deadpool_from_url;
pub use self::from_url::{FromUrl, open};
pub use self::port::IntoPool;
pub(crate) use self::port::{Pool, Pooled, sealed};
#[cfg(feature = "testing")]
pub(crate) use self::single::SinglePool;
