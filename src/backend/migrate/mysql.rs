//! Migrations on MySQL and MariaDB. The lock belongs to the session, and is named after the database.

use std::time::Duration;

use diesel::{QueryResult, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection as _};

use crate::backend::RecoveryDialect as _;
use crate::backend::migrate::{
    Answer, BINDS, DIESELS, History, LockAttempt, LockId, Migratable, NameRow, OURS, VERSIONS, has,
};

/// Locks belong to the whole server, so their names contain the database. A digest is used because names are short; MySQL has no
/// `MD5` any more.
const DATABASE: &str =
    "LEFT(SHA2(IF(@@lower_case_table_names = 0, DATABASE(), LOWER(DATABASE())), 256), 32)";

/// The age from which a branch is not about to be finished by its unit.
const OLD: Duration = Duration::from_secs(5);

impl Migratable for AsyncMysqlConnection {
    async fn try_lock(&mut self, own: LockId, earlier: &[LockId]) -> QueryResult<LockAttempt> {
        // The connection is idle while a migration runs.
        self.batch_execute("SET SESSION wait_timeout = 31536000")
            .await?;
        for (position, id) in earlier.iter().enumerate() {
            if !answer(self, &format!("IS_FREE_LOCK({}) = 1", id.name())).await? {
                return Ok(LockAttempt::AlreadyHeld(position));
            }
        }
        let locks = format!(
            "GET_LOCK({}, 0) = 1 AND GET_LOCK({}, 0) = 1",
            lock(),
            own.name()
        );
        Ok(if answer(self, &locks).await? {
            LockAttempt::Locked
        } else {
            LockAttempt::Busy
        })
    }

    async fn holds_lock(&mut self) -> QueryResult<bool> {
        answer(self, &format!("IS_USED_LOCK({}) = CONNECTION_ID()", lock())).await
    }

    /// Returns every old branch of this database, because the server does not report which lock a statement waits for.
    async fn blocking_branches(&mut self) -> QueryResult<Vec<String>> {
        // An empty namespace lists the branches that have a row here.
        let branches = self.branches("").await?;
        let old = branches
            .into_iter()
            .filter(|branch| branch.age.is_some_and(|age| age >= OLD));
        Ok(old.map(|branch| branch.name).collect())
    }

    async fn unlock(&mut self) -> QueryResult<()> {
        self.batch_execute(&format!("DO RELEASE_LOCK({})", lock()))
            .await
    }

    async fn history(&mut self) -> QueryResult<History> {
        let tables: Vec<NameRow> = sql_query(format!(
            "SELECT TABLE_NAME AS name FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN ('{DIESELS}', '{OURS}')"
        ))
        .load(self)
        .await?;
        if !has(&tables, DIESELS) {
            return Ok(History::default());
        }
        let applied = sql_query(VERSIONS).load(self).await?;
        let binds = if has(&tables, OURS) {
            sql_query(BINDS).load(self).await?
        } else {
            Vec::new()
        };
        Ok(History::new(applied, binds))
    }
}

async fn answer(connection: &mut AsyncMysqlConnection, question: &str) -> QueryResult<bool> {
    let row: Answer = sql_query(format!("SELECT COALESCE({question}, FALSE) AS answer"))
        .get_result(connection)
        .await?;
    Ok(row.answer)
}

impl LockId {
    fn name(self) -> String {
        format!("CONCAT('{:016x}:', {DATABASE})", self.0)
    }
}

fn lock() -> String {
    format!("CONCAT('diesel_binds:migrate:', {DATABASE})")
}
