//! Migrations on MySQL and MariaDB. The lock is one of the session, named after the database.

use diesel::{QueryResult, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection as _};

use crate::backend::migrate::{
    Answer, BINDS, DIESELS, History, LockAttempt, LockId, Migratable, OURS, TableRow, VERSIONS, has,
};

/// Locks belong to the whole server, so their names say the database: by a digest, because they are short.
const DATABASE: &str = "MD5(IF(@@lower_case_table_names = 0, DATABASE(), LOWER(DATABASE())))";

impl Migratable for AsyncMysqlConnection {
    async fn try_lock(&mut self, own: LockId, earlier: &[LockId]) -> QueryResult<LockAttempt> {
        // The connection is idle while a migration runs.
        self.batch_execute("SET SESSION wait_timeout = 31536000")
            .await?;
        for (position, id) in earlier.iter().enumerate() {
            if !answer(self, &format!("IS_FREE_LOCK({}) = 1", id.name())).await? {
                return Ok(LockAttempt::Ours(position));
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

    async fn unlock(&mut self) -> QueryResult<()> {
        self.batch_execute(&format!("DO RELEASE_LOCK({})", lock()))
            .await
    }

    async fn history(&mut self) -> QueryResult<History> {
        let tables: Vec<TableRow> = sql_query(format!(
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
