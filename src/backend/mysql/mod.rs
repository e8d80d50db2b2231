//! MySQL and MariaDB: units are XA branches with a savepoint as marker, or plain transactions that cannot be prepared.
//!
//! The name of a branch is fixed when it starts, so it cannot say who holds the decision. A row that the branch itself
//! inserts does: recovery reads it under READ UNCOMMITTED.

mod begin;
mod join;
mod prepared;
mod retry;

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Bool, Text};
use diesel::{IntoSql as _, QueryResult, QueryableByName, sql_query};
use diesel_async::{
    AnsiTransactionManager, AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection as _,
};
use futures_util::future::{BoxFuture, FutureExt as _};

use crate::backend::{
    AloneFault, Backend, Begun, Clock, Dialect, Found, RecordRow, SavepointStep, Server, Terms,
    internals, sql,
};
use crate::commit::{Asked, Decision, Fault, Outcome};
use crate::gid::{Branch, DatabaseId, Gid, UnitId, Xid};

/// What this session has written so far: each row counts, whoever asked for it.
const WRITES: &str = "(SELECT SUM(VARIABLE_VALUE) FROM information_schema.SESSION_STATUS \
                      WHERE VARIABLE_NAME IN ('HANDLER_WRITE', 'HANDLER_UPDATE', 'HANDLER_DELETE'))";

/// Undoing nothing warns when a table without transactions was changed: the server keeps a flag for the whole
/// transaction. `SET` keeps the list of warnings, most statements clear it.
const NOTE_NON_TRANSACTIONAL: &str = "SAVEPOINT diesel_binds_check; ROLLBACK TO SAVEPOINT diesel_binds_check; \
                                      SET @diesel_binds_warnings = @@warning_count";

#[derive(QueryableByName)]
struct ServerRow {
    #[diesel(sql_type = Text)]
    version: String,
    #[diesel(sql_type = Text)]
    schema_name: String,
    #[diesel(sql_type = BigInt)]
    flush: i64,
    #[diesel(sql_type = BigInt)]
    log_bin: i64,
    #[diesel(sql_type = BigInt)]
    sync_binlog: i64,
    #[diesel(sql_type = Text)]
    identity: String,
    #[diesel(sql_type = BigInt)]
    other_engines: i64,
}

/// Where a connection stands.
#[derive(QueryableByName)]
struct Standing {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = BigInt)]
    open: i64,
}

#[derive(QueryableByName)]
struct Flag {
    #[diesel(sql_type = Bool)]
    flag: bool,
}

/// Asks whether this session wrote anything since the begin of its unit.
///
/// A query of its own type, so that Diesel keeps it prepared: it is then one round trip, as the prepares are that it
/// goes out with.
#[derive(QueryId)]
struct Wrote;

impl Query for Wrote {
    type SqlType = Bool;
}

impl QueryFragment<Mysql> for Wrote {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        out.push_sql(WRITES);
        out.push_sql(" > @diesel_binds_writes");
        Ok(())
    }
}

impl Dialect for AsyncMysqlConnection {
    const BACKEND: Backend = Backend::Mysql;
    const CLOCK: Clock = Clock {
        now: "CAST(UNIX_TIMESTAMP() AS SIGNED)",
        at: "CAST(FLOOR(UNIX_TIMESTAMP(at)) AS SIGNED)",
    };

    async fn inspect(&mut self) -> QueryResult<Server> {
        let row: ServerRow = sql_query(
            "SELECT VERSION() AS version, COALESCE(DATABASE(), '') AS schema_name, \
             CAST(@@innodb_flush_log_at_trx_commit AS SIGNED) AS flush, \
             CAST(@@log_bin AS SIGNED) AS log_bin, CAST(@@sync_binlog AS SIGNED) AS sync_binlog, \
             CONCAT(@@hostname, ':', @@port, @@datadir, '/', COALESCE(DATABASE(), '')) AS identity, \
             (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() \
              AND TABLE_TYPE = 'BASE TABLE' AND ENGINE <> 'InnoDB') AS other_engines",
        )
        .get_result(self)
        .await?;
        let mut remarks = Vec::new();
        if row.other_engines > 0 {
            remarks.push(format!(
                "{} tables are not of InnoDB: a unit of several writers that changes them is refused",
                row.other_engines
            ));
        }
        let not_durable = if row.flush != 1 {
            Some("`innodb_flush_log_at_trx_commit` is not 1".to_owned())
        } else if row.log_bin != 0 && row.sync_binlog != 1 {
            Some("`sync_binlog` is not 1".to_owned())
        } else {
            None
        };
        Ok(Server {
            schema: format!("`{}`.", row.schema_name.replace('`', "``")),
            cannot_prepare: (!is_mariadb(&row.version))
                .then(|| "its XA is not relied on for MySQL, only for MariaDB".to_owned()),
            system: match is_mariadb(&row.version) {
                true => "mariadb",
                false => "mysql",
            },
            database: row.schema_name,
            version: row.version,
            prepared_slots: None,
            not_durable,
            identity: row.identity,
            remarks,
        })
    }

    async fn begin(&mut self, terms: &Terms) -> QueryResult<Begun> {
        AnsiTransactionManager::begin_transaction_sql(self, &begin::begin(terms)).await?;
        Ok(Begun::default())
    }

    async fn join(&mut self, terms: &Terms) -> QueryResult<Begun> {
        join::begin(self, terms).await
    }

    async fn release(&mut self, terms: &Terms) -> Result<(), Fault> {
        join::release(self, terms).await
    }

    async fn savepoint(&mut self, step: SavepointStep, depth: usize) -> QueryResult<()> {
        self.batch_execute(&sql::savepoint_step(step, depth)).await
    }

    /// After a future that was dropped half-way, this connection reads each reply one statement late. A number that
    /// nobody else knows must come back.
    async fn verify(&mut self, terms: &Terms) -> Result<(), Fault> {
        let sent = i64::from(rand_like(terms.unit));
        // MySQL has no such variable; its transactions are plain ones, without autocommit.
        let open = if is_mariadb(&terms.server.version) {
            "@@in_transaction"
        } else {
            "1"
        };
        let standing: Standing = sql_query(format!(
            "SELECT CAST({sent} AS SIGNED) AS number, CAST({open} AS SIGNED) AS open"
        ))
        .get_result(self)
        .await
        .map_err(|_| Fault::Incomplete)?;
        if standing.number != sent {
            return Err(Fault::Incomplete);
        }
        // Not before: a nested transaction that was dropped leaves its depth as well as its unread reply, and the
        // roll-back of the unit needs a connection that answers.
        internals::verify_depth(internals::status(self), &terms.begun)?;
        if standing.open == 0 {
            return Err(Fault::Ended(diesel::result::Error::NotInTransaction));
        }
        Ok(())
    }

    async fn answer(&mut self, terms: &Terms) -> QueryResult<()> {
        let sent = i64::from(rand_like(terms.unit));
        let received: i64 = diesel::select(sent.into_sql::<BigInt>())
            .get_result(self)
            .await?;
        if received == sent {
            Ok(())
        } else {
            Err(diesel::result::Error::BrokenTransactionManager)
        }
    }

    /// The number of the error is all that tells, and the connection is all that has it.
    fn is_conflict(_: &diesel::result::Error) -> bool {
        false
    }

    async fn met_conflict(&mut self, error: &diesel::result::Error) -> bool {
        retry::is_conflict(self, error).await
    }

    async fn ask(&mut self, terms: &Terms) -> Result<Asked, Fault> {
        let wrote = if counts_writes(terms) {
            Wrote.get_result(self).await.map_err(Fault::Refused)?
        } else {
            true
        };
        Ok(Asked {
            wrote,
            serializable: false,
        })
    }

    async fn identify(&mut self, terms: &Terms) -> Result<DatabaseId, Fault> {
        if let Some(setting) = &terms.server.not_durable
            && !terms.allow_not_durable
        {
            return Err(Fault::NotDurable {
                setting: setting.clone(),
            });
        }
        let schema = &terms.server.schema;
        let query = format!(
            "{} AND NOT EXISTS (SELECT 1 FROM {schema}diesel_binds_branch WHERE 1 = 0)",
            sql::meta(schema)
        );
        sql::database_id(sql_query(query).load(self).await)
    }

    async fn prepare(&mut self, terms: &Terms, branch: &Branch) -> Result<(), Fault> {
        let xid = xid(terms);
        let Gid {
            unit,
            holder,
            holder_id,
            namespace,
        } = &branch.gid;
        let message = format!(
            "RELEASE SAVEPOINT {}{}; {NOTE_NON_TRANSACTIONAL}; \
             INSERT INTO {}diesel_binds_branch (unit, branch, holder, holder_id, connection_id, namespace) \
             VALUES (IF(@diesel_binds_warnings = 0, '{unit}', NULL), '{}', '{holder}', '{holder_id}', CONNECTION_ID(), \
             '{namespace}'); \
             XA END {xid}; XA PREPARE {xid}",
            sql::MARKER,
            begin::put_back(terms),
            terms.server.schema,
            branch.bind,
        );
        match self.batch_execute(&message).await {
            Ok(()) => Ok(()),
            Err(error) => Err(explain(self, error).await),
        }
    }

    async fn commit(&mut self, terms: &Terms) -> Result<(), AloneFault> {
        let message = format!(
            "RELEASE SAVEPOINT {}{}; {}",
            sql::MARKER,
            begin::put_back(terms),
            commit_statement(terms)
        );
        let Err(error) = self.batch_execute(&message).await else {
            internals::leave(internals::status(self));
            return Ok(());
        };
        let marker_gone = mentions_marker(&error);
        let fault = match self.rollback(terms).await {
            // The branch was still there to roll back: whatever failed, it did not commit.
            Ok(()) if is_branch(terms) => Fault::Refused(error),
            Ok(()) if marker_gone => Fault::Ended(error),
            Ok(()) => Fault::Refused(error),
            Err(_) if marker_gone && self.answer(terms).await.is_ok() => Fault::Ended(error),
            Err(_) if self.answer(terms).await.is_ok() => Fault::Refused(error),
            Err(_) => Fault::Lost(error),
        };
        Err(AloneFault {
            fault,
            transaction: None,
        })
    }

    async fn decide(&mut self, terms: &Terms, decision: &Decision) -> Result<(), Fault> {
        let message = format!(
            "RELEASE SAVEPOINT {}{}; {NOTE_NON_TRANSACTIONAL}; {}; {}",
            sql::MARKER,
            begin::put_back(terms),
            sql::insert_decision(&terms.server.schema, decision, "@diesel_binds_warnings = 0"),
            commit_statement(terms)
        );
        match self.batch_execute(&message).await {
            Ok(()) => {
                internals::leave(internals::status(self));
                Ok(())
            }
            Err(error) => Err(explain(self, error).await),
        }
    }

    async fn finish(&mut self, terms: &Terms, _: &Branch, outcome: Outcome) -> QueryResult<()> {
        self.batch_execute(&format!("XA {} {}", verb(outcome), xid(terms)))
            .await?;
        internals::leave(internals::status(self));
        Ok(())
    }

    async fn rollback(&mut self, terms: &Terms) -> QueryResult<()> {
        if terms.joined {
            return join::undo(self, terms).await;
        }
        if is_branch(terms) {
            let xid = xid(terms);
            // A branch that the server already marked for rollback, or that is prepared, does not end any more.
            let ended = self.batch_execute(&format!("XA END {xid}")).await;
            if let Err(error) = ended {
                tracing::trace!(%error, bind = terms.bind, "XA END before a rollback");
            }
            // Not before: a branch that has ended, or is prepared, takes no `SET`.
            self.batch_execute(&format!("XA ROLLBACK {xid}{}", begin::put_back(terms)))
                .await?;
        } else {
            let put_back = begin::put_back(terms);
            self.batch_execute(&format!("ROLLBACK; SET autocommit = 1{put_back}"))
                .await?;
        }
        internals::leave(internals::status(self));
        Ok(())
    }

    async fn retire(&mut self) {
        internals::status(self).set_in_error();
    }

    fn cancel(&mut self) -> Option<BoxFuture<'static, ()>> {
        let token = self.cancel_token();
        Some(
            async move {
                if let Err(error) = token.cancel_query().await {
                    tracing::debug!(%error, "an abandoned statement could not be cancelled");
                }
            }
            .boxed(),
        )
    }

    async fn recovery_settings(&mut self) -> QueryResult<()> {
        self.batch_execute(
            "SET SESSION innodb_lock_wait_timeout = 1, SESSION autocommit = 1; \
             SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; SET SESSION TRANSACTION READ WRITE",
        )
        .await
    }

    async fn keep_out(&mut self, schema: &str, gid: &Gid) -> QueryResult<()> {
        // `INSERT IGNORE` turns other errors into warnings as well; the row that is read next is what counts.
        // Whoever deletes records counts on that it does not take long. MySQL has no such limit; it waits for locks only.
        self.batch_execute(&format!(
            "/*M! SET STATEMENT max_statement_time = 20 FOR */ INSERT IGNORE {}",
            sql::fence_row(schema, gid)
        ))
        .await
    }

    async fn lists(&mut self, branch: &Branch) -> QueryResult<bool> {
        prepared::lists(self, branch).await
    }

    async fn finish_listed(&mut self, branch: &Branch, outcome: Outcome) -> QueryResult<()> {
        prepared::finish(self, branch, outcome).await
    }

    async fn branches(&mut self, namespace: &str) -> QueryResult<Vec<Found>> {
        prepared::branches(self, namespace).await
    }

    async fn recorded(&mut self, schema: &str, gid: &Gid) -> Result<Option<Outcome>, Fault> {
        sql::verify_holder(sql_query(sql::meta(schema)).load(self).await, gid)?;
        sql::recorded(sql_query(sql::outcome(schema, gid)).get_result(self).await)
    }

    async fn identity(&mut self, schema: &str) -> Result<DatabaseId, Fault> {
        sql::database_id(sql_query(sql::meta(schema)).load(self).await)
    }

    async fn records(&mut self, query: String) -> QueryResult<Vec<RecordRow>> {
        sql_query(query).load(self).await
    }

    async fn change(&mut self, statement: String) -> QueryResult<usize> {
        sql_query(statement).execute(self).await
    }

    async fn forced(&mut self, schema: &str, unit: UnitId) -> QueryResult<Option<Outcome>> {
        let rows: Vec<sql::ForcedRow> = sql_query(sql::forced(schema, unit)).load(self).await?;
        Ok(rows.iter().map(sql::ForcedRow::outcome).next())
    }

    async fn record_force(
        &mut self,
        schema: &str,
        gid: &Gid,
        outcome: Outcome,
        reason: &str,
    ) -> QueryResult<()> {
        let row = sql::force_row(schema, gid, outcome, "?");
        let insert = sql_query(format!("INSERT IGNORE {row}"));
        insert.bind::<Text, _>(reason).execute(self).await.map(drop)
    }

    async fn delete_branch_rows(&mut self, schema: &str, namespace: &str) -> QueryResult<usize> {
        prepared::delete_rows(self, schema, namespace).await
    }

    async fn install(&mut self) -> QueryResult<()> {
        self.batch_execute(include_str!(
            "../../../migrations/mysql/2026-01-01-000000_diesel_binds/up.sql"
        ))
        .await
    }
}

fn is_mariadb(version: &str) -> bool {
    version.contains("MariaDB")
}

/// Whether the transaction is an XA branch: one that only reads has nothing to prepare.
fn is_branch(terms: &Terms) -> bool {
    terms.two_phase && !terms.read_only
}

fn counts_writes(terms: &Terms) -> bool {
    terms.verify_reads && !terms.read_only && is_mariadb(&terms.server.version)
}

fn xid(terms: &Terms) -> Xid {
    Xid {
        namespace: terms.namespace.as_ref().into(),
        unit: terms.unit,
        bind: terms.bind.into(),
    }
}

fn verb(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Commit => "COMMIT",
        Outcome::Abort => "ROLLBACK",
    }
}

fn commit_statement(terms: &Terms) -> String {
    if is_branch(terms) {
        let xid = xid(terms);
        format!("XA END {xid}; XA COMMIT {xid} ONE PHASE")
    } else if terms.read_only {
        // MariaDB keeps the connection read-only when a transaction is not ended by name. There is nothing to lose
        // between the two.
        "COMMIT; SET autocommit = 1".into()
    } else {
        // This commits. A `COMMIT` before it would leave room for a failure between the two.
        "SET autocommit = 1".into()
    }
}

/// The name of the marker stands in the error whatever language the server speaks.
fn mentions_marker(error: &diesel::result::Error) -> bool {
    matches!(error, diesel::result::Error::DatabaseError(_, information)
        if information.message().contains(sql::MARKER) && !information.message().contains("diesel_binds_"))
}

/// Says why the last message of a transaction failed, as far as the connection can still tell.
async fn explain(connection: &mut AsyncMysqlConnection, error: diesel::result::Error) -> Fault {
    if mentions_marker(&error) {
        return Fault::Ended(error);
    }
    let warned: QueryResult<Flag> =
        sql_query("SELECT COALESCE(@diesel_binds_warnings, 0) > 0 AS flag")
            .get_result(connection)
            .await;
    match warned {
        Ok(Flag { flag: true }) => Fault::NonTransactional(error),
        Ok(Flag { flag: false }) => Fault::Refused(error),
        Err(_) => Fault::Lost(error),
    }
}

/// A number that no other reply on the connection carries by chance.
fn rand_like(unit: UnitId) -> u32 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(unit) as u32
}
