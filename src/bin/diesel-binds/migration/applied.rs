//! Which migrations a database has recorded as applied. `diesel` itself tells only of those that are in the folder.

use std::path::Path;
use std::time::Duration;

use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection, RunQueryDsl};
use diesel_binds::Backend;

use crate::ending::chain;

/// How long a database has to answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a database says of its migrations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It has applied these, the first to the last. None also if nothing was ever applied.
    Versions(Vec<String>),
    /// There is no such SQLite file yet: asking would make one.
    NoFile,
    /// It asks for TLS, which `diesel` has and a connection by a URL here does not.
    NotAsked,
    /// It could not be asked, and why.
    Unknown(String),
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Text)]
    value: String,
}

const VERSIONS: &str = "SELECT version AS value FROM __diesel_schema_migrations ORDER BY version";

/// Asks a database.
pub(crate) async fn applied(backend: Backend, url: &str) -> Applied {
    if backend == Backend::Sqlite && !file_exists(url) {
        return Applied::NoFile;
    }
    let asked = async {
        match backend {
            #[cfg(feature = "postgres")]
            Backend::Postgres => {
                ask::<diesel_async::AsyncPgConnection>(
                    url,
                    "SELECT CASE WHEN to_regclass('__diesel_schema_migrations') IS NULL \
                     THEN 0 ELSE 1 END::bigint AS value",
                )
                .await
            }
            #[cfg(feature = "mysql")]
            Backend::Mysql => {
                ask::<diesel_async::AsyncMysqlConnection>(
                    url,
                    "SELECT CAST(COUNT(*) AS SIGNED) AS value FROM information_schema.TABLES \
                     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '__diesel_schema_migrations'",
                )
                .await
            }
            #[cfg(feature = "sqlite")]
            Backend::Sqlite => {
                ask::<diesel_binds::AsyncSqliteConnection>(
                    url,
                    "SELECT COUNT(*) AS value FROM sqlite_master \
                     WHERE type = 'table' AND name = '__diesel_schema_migrations'",
                )
                .await
            }
            #[allow(unreachable_patterns, reason = "only where every backend is turned on")]
            _ => Err(format!("this program was built without {backend}").into()),
        }
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(versions)) => Applied::Versions(versions),
        Ok(Err(error)) => Applied::Unknown(chain(error.as_ref())),
        Err(_) => Applied::Unknown(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

async fn ask<C>(url: &str, exists: &'static str) -> Result<Vec<String>, Box<dyn std::error::Error>>
where
    C: AsyncConnection,
    diesel::query_builder::SqlQuery: diesel_async::methods::LoadQuery<'static, C, Count>
        + diesel_async::methods::LoadQuery<'static, C, Version>
        + 'static,
{
    let mut connection = C::establish(url).await?;
    let tables = sql_query(exists)
        .get_result::<Count>(&mut connection)
        .await?;
    if tables.value == 0 {
        return Ok(Vec::new());
    }
    let versions = sql_query(VERSIONS).load::<Version>(&mut connection).await?;
    Ok(versions.into_iter().map(|row| row.value).collect())
}

/// Whether the URL of a SQLite database leads to a file that is there. What is no plain path is left to SQLite.
fn file_exists(url: &str) -> bool {
    let path = url.strip_prefix("sqlite://").unwrap_or(url);
    path.starts_with("file:") || path == ":memory:" || Path::new(path).exists()
}
