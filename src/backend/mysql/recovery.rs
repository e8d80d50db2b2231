//! Recovery on MySQL and MariaDB.

use diesel::sql_types::Text;
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection as _};

use crate::backend::identify::verify_holder;
use crate::backend::mysql::flavour::Flavour;
use crate::backend::mysql::inspect::{LOCATION, at_location};
use crate::backend::mysql::listing::has_name;
use crate::backend::mysql::writes::fail_unless;
use crate::backend::mysql::{Flag, finish, lost, prepared, tables};
use crate::backend::tables::{Found, database_id};
use crate::backend::{Backend, Lineage, ListedBranch, RecordRow, RecoveryDialect, sql};
use crate::commit::{Fault, Outcome};
use crate::gid::{Branch, DatabaseId, Gid, UnitId};

#[derive(QueryableByName)]
struct Variable {
    #[diesel(sql_type = Text, column_name = "Value")]
    value: String,
}

#[derive(QueryableByName)]
struct LocationRow {
    #[diesel(sql_type = Text)]
    location: String,
}

impl RecoveryDialect for AsyncMysqlConnection {
    type Listed = Flavour;

    const BRANCHES_HAVE_ROWS: bool = true;

    async fn recovery_settings(&mut self) -> QueryResult<()> {
        self.batch_execute(
            "SET SESSION innodb_lock_wait_timeout = 1, SESSION lock_wait_timeout = 10, SESSION autocommit = 1; \
             SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; SET SESSION TRANSACTION READ WRITE",
        )
        .await
    }

    /// Inserts a row and deletes it, if commits wait for a replica. The binary log then contains the transaction, and a
    /// replica confirms the log in order.
    async fn barrier(&mut self, schema: &str) -> QueryResult<()> {
        // The second name is that of MySQL.
        let waits: Vec<Variable> = sql_query(
            "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('rpl_semi_sync_master_enabled', 'rpl_semi_sync_source_enabled')",
        )
        .load(self)
        .await?;
        if waits.iter().all(|variable| variable.value != "ON") {
            return Ok(());
        }
        let unit = UnitId::of_no_unit();
        let confirmed = self
            .batch_execute(&format!(
                "START TRANSACTION; INSERT INTO {schema}diesel_binds_branch (unit, branch, holder, holder_id, connection_id, parts) \
                 VALUES ('{unit}', '', '', '', CONNECTION_ID(), 0); \
                 DELETE FROM {schema}diesel_binds_branch WHERE unit = '{unit}'; COMMIT AND NO CHAIN NO RELEASE"
            ))
            .await;
        if confirmed.is_err() {
            self.batch_execute("ROLLBACK").await?;
        }
        confirmed
    }

    /// Inserts a fence: a row under the key of the unit, which excludes a late decision.
    async fn insert_fence(&mut self, row: String) -> QueryResult<()> {
        // `INSERT IGNORE` turns other errors into warnings as well; only the row that is read next counts. The deletion
        // of records relies on the limit of this statement.
        let message = match Flavour::ask(self).await? {
            Flavour::MariaDb => {
                format!("SET STATEMENT max_statement_time = 20 FOR INSERT IGNORE {row}")
            }
            // MySQL limits no statement that writes. A row that came too late is not committed.
            Flavour::MySql => format!(
                "SET @diesel_binds_begun = UTC_TIMESTAMP(6); START TRANSACTION; INSERT IGNORE {row}; {}; COMMIT",
                fail_unless("UTC_TIMESTAMP(6) < @diesel_binds_begun + INTERVAL 20 SECOND")
            ),
        };
        let fenced = self.batch_execute(&message).await;
        if fenced.is_err() {
            self.batch_execute("ROLLBACK").await?;
        }
        fenced
    }

    /// Returns the sign that the server is a replica: `read_only`, which every role may read. Only privileged roles may
    /// read whether it follows another server, and a server that follows another one may still be writable.
    async fn replica(&mut self) -> QueryResult<Option<&'static str>> {
        // The value is a number, or a word in later versions.
        let row: Flag =
            sql_query("SELECT CAST(@@GLOBAL.read_only AS CHAR) NOT IN ('0', 'OFF') AS flag")
                .get_result(self)
                .await?;
        Ok(row.flag.then_some("`read_only` is on"))
    }

    /// Finds the branch if the server lists it, has lost its name, or still ends it.
    async fn find_listed(&mut self, branch: &Branch) -> QueryResult<Option<Flavour>> {
        let (unit, bind) = (branch.gid.unit, &*branch.bind);
        let flavour = Flavour::ask(self).await?;
        let is_there = has_name(self, flavour, unit, bind).await?
            || (flavour == Flavour::MariaDb && lost::is_lost_or_ending(self, unit, bind).await?);
        Ok(is_there.then_some(flavour))
    }

    async fn finish_listed(
        &mut self,
        branch: &Branch,
        flavour: Flavour,
        outcome: Outcome,
    ) -> QueryResult<()> {
        finish::finish(self, branch, flavour, outcome).await
    }

    async fn branches(&mut self, namespace: &str) -> QueryResult<Vec<ListedBranch>> {
        prepared::branches(self, namespace).await
    }

    async fn recorded(&mut self, schema: &str, gid: &Gid) -> Result<Option<Outcome>, Fault> {
        verify_holder(sql_query(tables::meta(schema)).load(self).await, gid)?;
        sql::recorded(
            sql_query(sql::outcome(schema, gid)).get_result(self).await,
            gid,
        )
    }

    async fn database_id(&mut self, schema: &str) -> Result<DatabaseId, Fault> {
        database_id(sql_query(tables::meta(schema)).load(self).await)
    }

    async fn load_records(&mut self, query: String) -> QueryResult<Vec<RecordRow>> {
        sql_query(query).load(self).await
    }

    async fn execute_durably(&mut self, statement: String) -> QueryResult<usize> {
        sql_query(statement).execute(self).await
    }

    async fn forced(&mut self, schema: &str, unit: UnitId) -> QueryResult<Option<Outcome>> {
        sql::forced(self, schema, unit).await
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

    async fn lineage(&mut self) -> QueryResult<Option<Lineage>> {
        let row: LocationRow = sql_query(format!("SELECT {LOCATION} AS location"))
            .get_result(self)
            .await?;
        at_location(self, row.location).await.map(Some)
    }

    async fn denies_tables(&mut self, schema: &str) -> QueryResult<bool> {
        let row: Found = sql_query(tables::exist(schema)).get_result(self).await?;
        Ok(row.found)
    }

    async fn install(&mut self) -> QueryResult<()> {
        self.batch_execute(Backend::Mysql.protocol_migration().up)
            .await
    }
}
