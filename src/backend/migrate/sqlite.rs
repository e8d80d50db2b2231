//! Migrations on SQLite. The lock is that of an empty file beside the database. SQLite's own lock would block the
//! migrations, and could not be held for those that run outside of a transaction.

use diesel::connection::{AnsiTransactionManager, SimpleConnection as _};
use diesel::sql_types::Text;
use diesel::{QueryResult, QueryableByName, RunQueryDsl as _, SqliteConnection, sql_query};
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};

use crate::backend::migrate::{
    BINDS, DIESELS, History, LockAttempt, LockId, Migratable, NameRow, NoLockFile, OURS, VERSIONS,
    has,
};

#[derive(QueryableByName)]
struct File {
    #[diesel(sql_type = Text)]
    file: String,
}

impl<S> Migratable for SyncConnectionWrapper<SqliteConnection, S>
where
    S: SpawnBlocking + Send + 'static,
{
    async fn lock_file(&mut self) -> Result<Option<String>, NoLockFile> {
        let File { file } = self
            .spawn_blocking(|connection| {
                // Applications wait for each other, so a migration that fails at the first lock would be of no use.
                connection.batch_execute("PRAGMA busy_timeout = 5000")?;
                sql_query("SELECT COALESCE(file, '') AS file FROM pragma_database_list WHERE name = 'main'")
                    .get_result(connection)
            })
            .await?;
        if file.is_empty() {
            return Err(NoLockFile::InMemory);
        }
        Ok(Some(format!("{file}-migrating")))
    }

    /// Locks the lock file on a connection of its own. The run recognizes files that it has locked already by their
    /// paths.
    async fn try_lock(&mut self, _: LockId, _: &[LockId]) -> QueryResult<LockAttempt> {
        self.spawn_blocking(|connection| {
            connection.batch_execute("PRAGMA busy_timeout = 0")?;
            match connection.batch_execute("BEGIN EXCLUSIVE") {
                Ok(()) => Ok(LockAttempt::Locked),
                Err(diesel::result::Error::DatabaseError(_, information))
                    if information.message().contains("database is locked") =>
                {
                    Ok(LockAttempt::Busy)
                }
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Returns `true`, because the lock of a file is lost only with its connection.
    async fn holds_lock(&mut self) -> QueryResult<bool> {
        Ok(true)
    }

    async fn unlock(&mut self) -> QueryResult<()> {
        self.spawn_blocking(|connection| connection.batch_execute("ROLLBACK"))
            .await
    }

    async fn history(&mut self) -> QueryResult<History> {
        self.spawn_blocking(|connection| {
            let tables: Vec<NameRow> = sql_query(format!(
                "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name IN ('{DIESELS}', '{OURS}')"
            ))
            .load(connection)?;
            if !has(&tables, DIESELS) {
                return Ok(History::default());
            }
            let applied = sql_query(VERSIONS).load(connection)?;
            let binds = if has(&tables, OURS) {
                sql_query(BINDS).load(connection)?
            } else {
                Vec::new()
            };
            Ok(History::new(applied, binds))
        })
        .await
    }

    /// Begins with `IMMEDIATE`: a deferred transaction cannot wait for a lock when it turns from reading to writing.
    async fn begin_migration(&mut self) -> QueryResult<()> {
        self.spawn_blocking(|connection| {
            AnsiTransactionManager::begin_transaction_sql(connection, "BEGIN IMMEDIATE")
        })
        .await
    }
}
