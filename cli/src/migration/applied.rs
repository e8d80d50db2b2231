//! The migrations that a database has recorded as applied. `diesel` itself lists only those that are in the folder.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::sql_types::Text;
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection, RunQueryDsl};
use diesel_binds::__private::{SqlitePlace, sqlite_place};
use diesel_binds::backend::Backend;

use crate::ending::chain;

/// The longest wait for an answer of a database.
const PATIENCE: Duration = Duration::from_secs(15);

/// The answer of a database about its migrations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// The migrations that the database has recorded.
    Recorded(Recorded),
    /// The SQLite file does not exist yet: a connection would create it.
    NoFile,
    /// The database requires TLS. `diesel` supports that, a connection by a URL here does not.
    NotAsked,
    /// The database did not answer, for this reason.
    Unknown(String),
}

/// The rows of the tables that record migrations. Empty also if the tables do not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// The versions that Diesel has recorded, in ascending order.
    pub(crate) versions: Vec<String>,
    /// The bind for which a version was applied, where `binds.migrations()` of the program recorded it.
    pub(crate) binds: BTreeMap<String, String>,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    value: String,
    #[diesel(sql_type = Text)]
    bind: String,
}

const DIESELS: &str = "__diesel_schema_migrations";
const VERSIONS: &str =
    "SELECT version AS value, '' AS bind FROM __diesel_schema_migrations ORDER BY version";
const OURS: &str = "diesel_binds_migrations";
const BINDS: &str = "SELECT version AS value, bind FROM diesel_binds_migrations";

/// Reads the applied migrations of a database.
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
                    "SELECT name AS value, '' AS bind \
                     FROM (VALUES ('__diesel_schema_migrations'), ('diesel_binds_migrations')) AS t (name) \
                     WHERE to_regclass(name) IS NOT NULL",
                )
                .await
            }
            #[cfg(feature = "mysql")]
            Backend::Mysql => {
                ask::<diesel_async::AsyncMysqlConnection>(
                    url,
                    "SELECT TABLE_NAME AS value, '' AS bind FROM information_schema.TABLES \
                     WHERE TABLE_SCHEMA = DATABASE() \
                     AND TABLE_NAME IN ('__diesel_schema_migrations', 'diesel_binds_migrations')",
                )
                .await
            }
            #[cfg(feature = "sqlite")]
            Backend::Sqlite => {
                ask::<diesel_binds::AsyncSqliteConnection>(
                    url,
                    "SELECT name AS value, '' AS bind FROM sqlite_master WHERE type = 'table' \
                     AND name IN ('__diesel_schema_migrations', 'diesel_binds_migrations')",
                )
                .await
            }
            #[allow(unreachable_patterns, reason = "only where every backend is turned on")]
            _ => Err(format!("this program was built without {backend}").into()),
        }
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(recorded)) => Applied::Recorded(recorded),
        Ok(Err(error)) => Applied::Unknown(chain(error.as_ref())),
        Err(_) => Applied::Unknown(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

async fn ask<C>(url: &str, tables: &'static str) -> Result<Recorded, Box<dyn std::error::Error>>
where
    C: AsyncConnection,
    diesel::query_builder::SqlQuery: diesel_async::methods::LoadQuery<'static, C, Row> + 'static,
{
    let mut connection = C::establish(url).await?;
    let tables = sql_query(tables).load::<Row>(&mut connection).await?;
    let has = |name| tables.iter().any(|table| table.value == name);
    let mut recorded = Recorded::default();
    if has(DIESELS) {
        let rows = sql_query(VERSIONS).load::<Row>(&mut connection).await?;
        recorded.versions = rows.into_iter().map(|row| row.value).collect();
    }
    if has(OURS) {
        let rows = sql_query(BINDS).load::<Row>(&mut connection).await?;
        let rows = rows.into_iter().map(|row| (row.value, row.bind));
        recorded.binds = rows.collect();
    }
    Ok(recorded)
}

/// Returns whether the URL of a SQLite database leads to a file that exists. A database without a file always exists.
fn file_exists(url: &str) -> bool {
    match sqlite_place(url) {
        SqlitePlace::File(path) => path.exists(),
        _ => true,
    }
}
