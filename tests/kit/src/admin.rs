//! A connection of the test to any database, without pools, proxies or the library.

use diesel::sql_types::Text;
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::{
    AsyncConnection, AsyncMysqlConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection,
};
use diesel_binds::AsyncSqliteConnection;

/// A connection by a URL or a path.
pub enum Admin {
    Postgres(Box<AsyncPgConnection>),
    Mysql(Box<AsyncMysqlConnection>),
    Sqlite(Box<AsyncSqliteConnection>),
}

#[derive(QueryableByName)]
struct Value {
    #[diesel(sql_type = Text)]
    value: String,
}

impl Admin {
    /// Connects. Panics if the database does not answer.
    pub async fn connect(url: &str) -> Self {
        if url.starts_with("postgres") {
            let connection = AsyncPgConnection::establish(url).await;
            Self::Postgres(Box::new(connection.expect("PostgreSQL can be reached")))
        } else if url.starts_with("mysql") {
            let connection = AsyncMysqlConnection::establish(url).await;
            Self::Mysql(Box::new(connection.expect("the server can be reached")))
        } else {
            let connection = AsyncSqliteConnection::establish(url).await;
            Self::Sqlite(Box::new(connection.expect("the file can be opened")))
        }
    }

    /// Runs statements as text.
    pub async fn run(&mut self, sql: &str) -> QueryResult<()> {
        match self {
            Self::Postgres(connection) => connection.batch_execute(sql).await,
            Self::Mysql(connection) => connection.batch_execute(sql).await,
            Self::Sqlite(connection) => connection.batch_execute(sql).await,
        }
    }

    /// Returns the text column `value` of all rows of a query.
    pub async fn values(&mut self, sql: &str) -> QueryResult<Vec<String>> {
        let query = sql_query(sql.to_owned());
        let rows: Vec<Value> = match self {
            Self::Postgres(connection) => query.load(connection).await?,
            Self::Mysql(connection) => query.load(connection).await?,
            Self::Sqlite(connection) => query.load(connection).await?,
        };
        Ok(rows.into_iter().map(|row| row.value).collect())
    }

    /// Returns the first two numbers of the version of a MariaDB server, for facts that differ between releases.
    pub async fn mariadb_version(&mut self) -> (u32, u32) {
        let versions = self.values("SELECT VERSION() AS value").await;
        let version = versions.expect("the server has a version").remove(0);
        let mut numbers = version
            .split('.')
            .map(|part| part.parse().expect("the version begins with numbers"));
        let mut next = || numbers.next().expect("a version has two numbers");
        (next(), next())
    }

    /// Ends every `ALTER` that waits for a lock in this database, with an error.
    pub async fn end_alterations(&mut self) {
        let (waiting, end) = match self {
            Self::Postgres(_) => (
                "SELECT pid::text AS value FROM pg_stat_activity WHERE datname = current_database() \
                 AND wait_event_type = 'Lock' AND query ILIKE '%ALTER%'",
                "SELECT pg_cancel_backend({})",
            ),
            Self::Mysql(_) => (
                "SELECT CAST(id AS CHAR) AS value FROM information_schema.processlist \
                 WHERE db = DATABASE() AND info LIKE 'ALTER%'",
                "KILL QUERY {}",
            ),
            Self::Sqlite(_) => return,
        };
        for id in self
            .values(waiting)
            .await
            .expect("the server lists its sessions")
        {
            // The statement may have ended since then.
            let _ = self.run(&end.replace("{}", &id)).await;
        }
    }
}
