//! A view of a database from outside: its open and prepared transactions, and the end of those that a crash left
//! behind.

use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::{
    AsyncConnection, AsyncMysqlConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection,
};
use diesel_binds::AsyncSqliteConnection;

use crate::database::Database;
use crate::recovered::recovered;

/// A connection of the test to one database.
pub enum Look {
    Postgres(Box<AsyncPgConnection>),
    /// MariaDB or MySQL, with its URL.
    Mysql(Box<AsyncMysqlConnection>, String),
    /// The path of a file, which is opened each time: a connection that stays could itself hold locks.
    Sqlite(String),
}

/// A prepared and unfinished branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    pub unit: String,
    /// The key of the bind that is the holder.
    pub holder: String,
    /// The name of the branch for `COMMIT` and `ROLLBACK`.
    name: String,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

impl Look {
    pub async fn at(database: &Database) -> Self {
        let url = database.url();
        if url.starts_with("postgres") {
            Self::Postgres(Box::new(AsyncPgConnection::establish(url).await.unwrap()))
        } else if url.starts_with("mysql") {
            let connection = AsyncMysqlConnection::establish(url).await.unwrap();
            Self::Mysql(Box::new(connection), url.to_owned())
        } else {
            Self::Sqlite(url.to_owned())
        }
    }

    /// Returns the open transactions of other connections, with the states of those connections.
    pub async fn open(&mut self) -> Vec<String> {
        let lines: Vec<Line> = match self {
            Self::Postgres(connection) => {
                let open = "SELECT concat_ws(' ', pid, state, now() - state_change, query) AS line \
                            FROM pg_stat_activity WHERE datname = current_database() \
                            AND pid <> pg_backend_pid() AND backend_type = 'client backend' \
                            AND xact_start IS NOT NULL";
                diesel::sql_query(open)
                    .load(&mut **connection)
                    .await
                    .unwrap()
            }
            Self::Mysql(connection, _) => {
                // `innodb_trx` is a copy that is not renewed while it is read often. A lock on the whole table
                // conflicts with each transaction that read or wrote it, prepared or not.
                let locking =
                    "SET SESSION lock_wait_timeout = 0; LOCK TABLES notes WRITE; UNLOCK TABLES";
                match connection.batch_execute(locking).await {
                    Ok(()) => Vec::new(),
                    Err(_) => self
                        .connections()
                        .await
                        .into_iter()
                        .map(|line| Line { line })
                        .collect(),
                }
            }
            Self::Sqlite(path) => {
                let mut connection = AsyncSqliteConnection::establish(path).await.unwrap();
                // Fails at once on a conflict, with a reader as well as with a writer.
                let exclusive = "BEGIN EXCLUSIVE; ROLLBACK";
                let locked = SimpleAsyncConnection::batch_execute(&mut connection, exclusive).await;
                let line = locked.err().map(|error| Line {
                    line: error.to_string(),
                });
                line.into_iter().collect()
            }
        };
        lines.into_iter().map(|Line { line }| line).collect()
    }

    /// Returns the transactions in `innodb_trx` of other connections to the database, including those that touched no
    /// table of the test. The list is a copy, renewed when it was not read for a tenth of a second. Other databases
    /// than those of MySQL and MariaDB have no such list.
    pub async fn transactions(&mut self) -> Vec<String> {
        let Self::Mysql(connection, _) = self else {
            return Vec::new();
        };
        let all = "SELECT CONCAT_WS(' ', p.ID, trx_state, trx_operation_state, trx_query) AS line \
                   FROM information_schema.innodb_trx \
                   JOIN information_schema.processlist p ON p.ID = trx_mysql_thread_id \
                   WHERE p.DB = DATABASE() AND p.ID <> CONNECTION_ID()";
        let lines: Vec<Line> = diesel::sql_query(all)
            .load(&mut **connection)
            .await
            .unwrap();
        lines.into_iter().map(|Line { line }| line).collect()
    }

    /// Returns the other connections to the database, with their states. A file has no such list.
    pub async fn connections(&mut self) -> Vec<String> {
        let lines: Vec<Line> = match self {
            Self::Postgres(connection) => {
                let all = "SELECT concat_ws(' ', pid, state, query) AS line FROM pg_stat_activity \
                           WHERE datname = current_database() AND pid <> pg_backend_pid() \
                           AND backend_type = 'client backend'";
                diesel::sql_query(all)
                    .load(&mut **connection)
                    .await
                    .unwrap()
            }
            Self::Mysql(connection, _) => {
                let all = "SELECT CONCAT_WS(' ', ID, COMMAND, STATE, TIME, CONVERT(INFO USING utf8mb4)) AS line \
                           FROM information_schema.processlist WHERE DB = DATABASE() AND ID <> CONNECTION_ID()";
                diesel::sql_query(all)
                    .load(&mut **connection)
                    .await
                    .unwrap()
            }
            Self::Sqlite(_) => Vec::new(),
        };
        lines.into_iter().map(|Line { line }| line).collect()
    }

    /// Returns the prepared and unfinished branches of this namespace in this database.
    pub async fn prepared(&mut self, namespace: &str) -> Vec<Branch> {
        match self {
            Self::Postgres(connection) => {
                let lines: Vec<Line> = diesel::sql_query(
                    "SELECT gid AS line FROM pg_prepared_xacts WHERE database = current_database()",
                )
                .load(&mut **connection)
                .await
                .unwrap();
                lines
                    .into_iter()
                    .map(|Line { line }| of_gid(line))
                    .collect()
            }
            Self::Mysql(connection, url) => {
                let listed = recovered(url).await;
                connection
                    .batch_execute("SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
                    .await
                    .unwrap();
                let mut branches = Vec::new();
                for branch in listed {
                    let bind = &branch.bqual;
                    let Some(unit) = branch.gtrid.strip_prefix(&format!("{namespace}:")) else {
                        continue;
                    };
                    let holder: Vec<Line> = diesel::sql_query(format!(
                        "SELECT holder AS line FROM diesel_binds_branch WHERE unit = '{unit}' AND branch = '{bind}'"
                    ))
                    .load(&mut **connection)
                    .await
                    .unwrap();
                    // Without a row here, the branch is of another database on this server: two binds may have one
                    // namespace.
                    let Some(Line { line: holder }) = holder.into_iter().next() else {
                        continue;
                    };
                    branches.push(Branch {
                        unit: unit.to_owned(),
                        holder,
                        name: branch.name,
                    });
                }
                branches
            }
            Self::Sqlite(_) => Vec::new(),
        }
    }

    /// Fences the unit on the database of its holder, and returns whether it had committed.
    pub async fn fence(&mut self, unit: &str) -> bool {
        let values = format!(
            "INTO diesel_binds_decision (unit, outcome, participants) VALUES ('{unit}', 'abort', '')"
        );
        let outcome =
            format!("SELECT outcome AS line FROM diesel_binds_decision WHERE unit = '{unit}'");
        let Line { line } = match self {
            Self::Postgres(connection) => {
                let insert = format!("INSERT {values} ON CONFLICT DO NOTHING");
                connection.batch_execute(&insert).await.unwrap();
                diesel::sql_query(outcome)
                    .get_result(&mut **connection)
                    .await
            }
            Self::Mysql(connection, _) => {
                let insert = format!("INSERT IGNORE {values}");
                connection.batch_execute(&insert).await.unwrap();
                diesel::sql_query(outcome)
                    .get_result(&mut **connection)
                    .await
            }
            Self::Sqlite(path) => {
                let mut connection = AsyncSqliteConnection::establish(path).await.unwrap();
                let insert = format!("PRAGMA busy_timeout = 5000; INSERT OR IGNORE {values}");
                SimpleAsyncConnection::batch_execute(&mut connection, &insert)
                    .await
                    .unwrap();
                diesel::sql_query(outcome).get_result(&mut connection).await
            }
        }
        .unwrap();
        line.trim() == "commit"
    }

    /// Commits or rolls back a branch.
    pub async fn finish(&mut self, branch: &Branch, commits: bool) {
        let verb = if commits { "COMMIT" } else { "ROLLBACK" };
        let name = &branch.name;
        match self {
            Self::Postgres(connection) => {
                connection
                    .batch_execute(&format!("{verb} PREPARED '{name}'"))
                    .await
            }
            Self::Mysql(connection, _) => {
                connection.batch_execute(&format!("XA {verb} {name}")).await
            }
            Self::Sqlite(_) => Ok(()),
        }
        .unwrap();
    }
}

/// Parses `db1:<namespace>:<unit>:<holder>:<holder id>:<bind>:<parts>`.
fn of_gid(gid: String) -> Branch {
    let parts: Vec<&str> = gid.split(':').collect();
    assert_eq!(parts.len(), 7, "{gid}");
    Branch {
        unit: parts[2].to_owned(),
        holder: parts[3].to_owned(),
        name: gid,
    }
}
