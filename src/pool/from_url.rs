//! Pools that open their connections by a URL.

use std::sync::Arc;

use futures_util::FutureExt as _;

use crate::backend::Connection;
use crate::config::{Pooling, Setup};
use crate::pool::Pool;

/// A connection type whose pool can be made of a URL. Sealed, and implemented for all that a bind can have.
#[diagnostic::on_unimplemented(
    message = "no pool of `{Self}` can be made of a URL",
    note = "for SQLite, use `diesel_binds::AsyncSqliteConnection`; or pass a pool of your own with `.bind`"
)]
pub trait FromUrl: Connection {
    #[doc(hidden)]
    fn pool(url: &str, setup: Option<Arc<Setup<Self>>>, pooling: &Pooling) -> Box<dyn Pool<Self>>;
}

/// Deadpool where it is turned on, else bb8. A macro, because the bounds that both put on the connection type are
/// only known to hold for a concrete one.
macro_rules! from_url {
    ($setup:expr, $url:expr, $pooling:expr) => {{
        #[cfg(feature = "deadpool")]
        let pool = crate::pool::deadpool_from_url($url, $setup, $pooling);
        #[cfg(not(feature = "deadpool"))]
        let pool = crate::pool::bb8_from_url($url, $setup, $pooling);
        pool
    }};
}

#[cfg(feature = "postgres")]
impl FromUrl for diesel_async::AsyncPgConnection {
    fn pool(url: &str, setup: Option<Arc<Setup<Self>>>, pooling: &Pooling) -> Box<dyn Pool<Self>> {
        let setup = setup.unwrap_or_else(|| {
            Arc::new(|url| <Self as diesel_async::AsyncConnection>::establish(url).boxed())
        });
        from_url!(setup, url, pooling)
    }
}

#[cfg(feature = "mysql")]
impl FromUrl for diesel_async::AsyncMysqlConnection {
    fn pool(url: &str, setup: Option<Arc<Setup<Self>>>, pooling: &Pooling) -> Box<dyn Pool<Self>> {
        let setup = setup.unwrap_or_else(|| {
            Arc::new(|url| <Self as diesel_async::AsyncConnection>::establish(url).boxed())
        });
        from_url!(setup, url, pooling)
    }
}

#[cfg(feature = "sqlite")]
impl FromUrl for crate::backend::sqlite::AsyncSqliteConnection {
    fn pool(url: &str, setup: Option<Arc<Setup<Self>>>, pooling: &Pooling) -> Box<dyn Pool<Self>> {
        let setup =
            setup.unwrap_or_else(|| Arc::new(|url| crate::backend::sqlite::establish(url).boxed()));
        from_url!(setup, url, pooling)
    }
}
