//! Migrations on PostgreSQL.
//!
//! The lock belongs to a transaction that stays open for the whole run. A lock of the session would mean nothing behind
//! a transaction pooler, which gives each transaction another session. A transaction keeps its session to the end
//! there, too.

use diesel::{QueryResult, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _};

use crate::backend::migrate::{
    Answer, BINDS, DIESELS, History, LockAttempt, LockId, Migratable, NameRow, OURS, VERSIONS, has,
};

/// Begins without a limit on age or idleness, and without a snapshot, which `CREATE INDEX CONCURRENTLY` would wait for.
const BEGIN_LOCK: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
     SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; \
     SELECT set_config(name, '0', true) FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout'";

/// Finds the prepared branches with a lock that a statement of this database waits for. The locks of a branch belong to
/// no process, but to the virtual transaction that also has the lock of its id.
const BLOCKING_BRANCHES: &str = "SELECT DISTINCT branch.gid AS name FROM pg_catalog.pg_prepared_xacts AS branch \
     JOIN pg_catalog.pg_locks AS own ON own.pid IS NULL AND own.locktype = 'transactionid' \
     AND own.transactionid::text = branch.transaction::text \
     JOIN pg_catalog.pg_locks AS held ON held.pid IS NULL AND held.virtualtransaction = own.virtualtransaction \
     JOIN pg_catalog.pg_locks AS wanted ON NOT wanted.granted AND wanted.locktype = held.locktype \
     AND (wanted.database, wanted.relation, wanted.transactionid) \
     IS NOT DISTINCT FROM (held.database, held.relation, held.transactionid) \
     WHERE branch.database = pg_catalog.current_database()";

impl Migratable for AsyncPgConnection {
    /// Never waits in the server, because a waiting statement has a snapshot. `CREATE INDEX CONCURRENTLY` of the run
    /// that has the lock would wait for that snapshot, and both forever.
    async fn try_lock(&mut self, own: LockId, earlier: &[LockId]) -> QueryResult<LockAttempt> {
        self.batch_execute(BEGIN_LOCK).await?;
        let mut attempt = LockAttempt::Busy;
        for (position, id) in earlier.iter().enumerate() {
            // Advisory locks belong to one database: this one is free in all others.
            if !try_advisory(self, &format!("{}", id.signed())).await? {
                attempt = LockAttempt::AlreadyHeld(position);
            }
        }
        if attempt == LockAttempt::Busy
            && try_advisory(self, "1145188401, 1").await?
            && try_advisory(self, &format!("{}", own.signed())).await?
        {
            return Ok(LockAttempt::Locked);
        }
        self.batch_execute("ROLLBACK").await?;
        Ok(attempt)
    }

    /// Runs a statement in the transaction, which has the lock until it ends.
    async fn holds_lock(&mut self) -> QueryResult<bool> {
        self.batch_execute("SAVEPOINT diesel_binds_lock; RELEASE diesel_binds_lock")
            .await?;
        Ok(true)
    }

    async fn blocking_branches(&mut self) -> QueryResult<Vec<String>> {
        let branches: Vec<NameRow> = sql_query(BLOCKING_BRANCHES).load(self).await?;
        Ok(branches.into_iter().map(|branch| branch.name).collect())
    }

    /// Asks in a savepoint. An error would otherwise end the transaction and its lock, and the catalogs would stay
    /// locked.
    async fn blocking_branches_beside_lock(&mut self) -> QueryResult<Vec<String>> {
        self.batch_execute("SAVEPOINT diesel_binds_lock").await?;
        let branches = self.blocking_branches().await;
        self.batch_execute("ROLLBACK TO diesel_binds_lock; RELEASE diesel_binds_lock")
            .await?;
        branches
    }

    async fn unlock(&mut self) -> QueryResult<()> {
        self.batch_execute("ROLLBACK").await
    }

    async fn history(&mut self) -> QueryResult<History> {
        // One transaction: behind a pooler, a statement that was prepared in one session may not exist in another.
        self.batch_execute("BEGIN READ ONLY").await?;
        let tables: Vec<NameRow> = sql_query(format!(
            "SELECT name FROM (VALUES ('{DIESELS}'), ('{OURS}')) AS t (name) \
             WHERE pg_catalog.to_regclass(name) IS NOT NULL"
        ))
        .load(self)
        .await?;
        let mut history = History::default();
        if has(&tables, DIESELS) {
            let applied = sql_query(VERSIONS).load(self).await?;
            let binds = if has(&tables, OURS) {
                sql_query(BINDS).load(self).await?
            } else {
                Vec::new()
            };
            history = History::new(applied, binds);
        }
        self.batch_execute("COMMIT").await?;
        Ok(history)
    }
}

async fn try_advisory(connection: &mut AsyncPgConnection, key: &str) -> QueryResult<bool> {
    let row: Answer = sql_query(format!(
        "SELECT pg_catalog.pg_try_advisory_xact_lock({key}) AS answer"
    ))
    .get_result(connection)
    .await?;
    Ok(row.answer)
}

impl LockId {
    fn signed(self) -> i64 {
        i64::from_ne_bytes(self.0.to_ne_bytes())
    }
}
