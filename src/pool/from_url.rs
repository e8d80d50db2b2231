//! Pools that open their connections by a URL.

use std::sync::Arc;

use futures_util::FutureExt as _;

use crate::backend::Connection;
use crate::config::{Place, PoolOptions, Setup, check_url};
use crate::error::pool::BoxError;
use crate::pool::port::Pool;

/// A connection type whose pool can be made from a URL. Sealed, and implemented for all connections that a bind can
/// have.
#[cfg_attr(
    any(feature = "deadpool", feature = "bb8"),
    diagnostic::on_unimplemented(
        message = "no pool of `{Self}` can be made of a URL",
        note = "for SQLite, use `diesel_binds::AsyncSqliteConnection`; or pass a pool of your own"
    )
)]
#[cfg_attr(
    not(any(feature = "deadpool", feature = "bb8")),
    diagnostic::on_unimplemented(
        message = "diesel-binds was built without a pool",
        label = "needs a pool",
        note = "turn on one of its features `deadpool` and `bb8` in Cargo.toml"
    )
)]
pub trait FromUrl: Connection {
    /// Returns the function that opens connections of a place.
    #[doc(hidden)]
    fn opener(place: Place) -> Arc<Setup<Self>>;

    #[doc(hidden)]
    fn pool(url: &str, setup: Arc<Setup<Self>>, pooling: &PoolOptions) -> Box<dyn Pool<Self>>;
}

/// Opens one connection by a URL, as a pool does that is made of the URL.
pub async fn open<C: FromUrl>(url: &str) -> Result<C, BoxError> {
    let open = C::opener(check_url(C::BACKEND, url)?);
    Ok(open(url).await?)
}

/// Makes a pool of deadpool if it is turned on, otherwise of bb8. A macro, because the bounds of both pools on the
/// connection type only hold for a concrete type.
macro_rules! from_url {
    ($setup:expr, $url:expr, $pooling:expr) => {{
        #[cfg(feature = "deadpool")]
        let pool = crate::pool::deadpool_from_url($url, $setup, $pooling);
        #[cfg(not(feature = "deadpool"))]
        let pool = crate::pool::bb8_from_url($url, $setup, $pooling);
        pool
    }};
}

#[cfg(all(feature = "postgres", any(feature = "deadpool", feature = "bb8")))]
impl FromUrl for diesel_async::AsyncPgConnection {
    fn opener(place: Place) -> Arc<Setup<Self>> {
        let opener = Arc::new(crate::backend::postgres::Opener::new(
            &place.driver_url,
            place.tls,
        ));
        // The pool passes the URL as it was given.
        Arc::new(move |_| {
            let opener = Arc::clone(&opener);
            async move { opener.open().await }.boxed()
        })
    }

    fn pool(url: &str, setup: Arc<Setup<Self>>, pooling: &PoolOptions) -> Box<dyn Pool<Self>> {
        from_url!(setup, url, pooling)
    }
}

#[cfg(all(feature = "mysql", any(feature = "deadpool", feature = "bb8")))]
impl FromUrl for diesel_async::AsyncMysqlConnection {
    fn opener(place: Place) -> Arc<Setup<Self>> {
        let opener = Arc::new(crate::backend::mysql::Opener::new(
            place.driver_url,
            place.tls,
        ));
        // The pool passes the URL as it was given.
        Arc::new(move |_| {
            let opener = Arc::clone(&opener);
            async move { opener.open().await }.boxed()
        })
    }

    fn pool(url: &str, setup: Arc<Setup<Self>>, pooling: &PoolOptions) -> Box<dyn Pool<Self>> {
        from_url!(setup, url, pooling)
    }
}

#[cfg(all(feature = "sqlite", any(feature = "deadpool", feature = "bb8")))]
impl FromUrl for crate::backend::sqlite::AsyncSqliteConnection {
    fn opener(_: Place) -> Arc<Setup<Self>> {
        Arc::new(|url| crate::backend::sqlite::establish(url).boxed())
    }

    fn pool(url: &str, setup: Arc<Setup<Self>>, pooling: &PoolOptions) -> Box<dyn Pool<Self>> {
        use crate::config::{SqlitePlace, sqlite_place};

        let mut pooling = pooling.clone();
        if !matches!(sqlite_place(url), SqlitePlace::File(_)) {
            // The database ends with its last connection.
            pooling = pooling.idle_timeout(None).max_lifetime(None);
        }
        from_url!(setup, url, &pooling)
    }
}
