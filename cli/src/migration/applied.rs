//! The migrations that a database has recorded as applied. `diesel` itself lists only those that are in the folder.

use std::time::Duration;

use diesel_binds::__private::{History, SqlitePlace, open, sqlite_place};
use diesel_binds::BoxError;
use diesel_binds::backend::Backend;
use diesel_binds::build::FromUrl;
use diesel_binds::migrations::Migratable;

use crate::exit::chain;

/// The longest wait for an answer of a database.
const PATIENCE: Duration = Duration::from_secs(15);

/// The answer of a database about its migrations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// The migrations that the database has recorded. Empty also if its tables do not exist.
    Recorded(History),
    /// The SQLite file does not exist yet: a connection would create it.
    NoFile,
    /// The database requires TLS. `diesel` supports that, and this program was built without it.
    NotAsked,
    /// The database did not answer, for this reason.
    Unknown(String),
}

/// Reads the applied migrations of a database.
pub(crate) async fn applied(backend: Backend, url: &str) -> Applied {
    if backend == Backend::Sqlite && !file_exists(url) {
        return Applied::NoFile;
    }
    let asked = async {
        match backend {
            #[cfg(feature = "postgres")]
            Backend::Postgres => ask::<diesel_async::AsyncPgConnection>(url).await,
            #[cfg(feature = "mysql")]
            Backend::Mysql => ask::<diesel_async::AsyncMysqlConnection>(url).await,
            #[cfg(feature = "sqlite")]
            Backend::Sqlite => ask::<diesel_binds::AsyncSqliteConnection>(url).await,
            #[allow(unreachable_patterns, reason = "only where every backend is turned on")]
            _ => Err(format!("this program was built without {backend}").into()),
        }
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(history)) => Applied::Recorded(history),
        Ok(Err(error)) => Applied::Unknown(chain(error.as_ref())),
        Err(_) => Applied::Unknown(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

async fn ask<C: Migratable + FromUrl>(url: &str) -> Result<History, BoxError> {
    Ok(open::<C>(url).await?.history().await?)
}

/// Returns whether the URL of a SQLite database leads to a file that exists. A database without a file always exists.
fn file_exists(url: &str) -> bool {
    match sqlite_place(url) {
        SqlitePlace::File(path) => path.exists(),
        _ => true,
    }
}
