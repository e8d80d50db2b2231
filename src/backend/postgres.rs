//! PostgreSQL: units are transactions with a marker in a setting, branches are prepared transactions.

mod begin;
mod join;
mod retry;

use std::time::Duration;

use diesel::sql_types::{BigInt, Bool, Integer, Text};
use diesel::{QueryResult, QueryableByName, define_sql_function, sql_query};
use diesel_async::{
    AnsiTransactionManager, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _,
};
use futures_util::future::{BoxFuture, FutureExt as _};

use crate::backend::{
    AloneFault, Backend, Begun, Clock, Dialect, Found, Reach, RecordRow, SavepointStep, Server,
    Terms, internals, sql,
};
use crate::commit::{Asked, Decision, Fault, Outcome};
use crate::gid::{Branch, DatabaseId, Gid, UnitId};

/// Our tables are always named in full: under a `search_path` of the application an unqualified decision would go
/// into another schema, and recovery would find none.
const SCHEMA: &str = "public.";

/// What a marker that is gone says. It stands in the error whatever language the server speaks.
const MARKER_LOST: &str = "diesel_binds: the transaction of the unit is gone";

/// Begins a transaction of recovery, which waits shortly and is durable, whatever the connection says.
const DURABLY: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '1s'; \
                       SET LOCAL synchronous_commit = on";

/// Ends a `SET LOCAL ROLE` of the application. What it deferred runs before, with the rights of that role.
const LEAVE_ROLE: &str = "SET CONSTRAINTS ALL IMMEDIATE; \
                          SELECT pg_catalog.set_config('role', pg_catalog.current_setting('diesel_binds.role'), true)";

// Typed functions rather than SQL literals: Diesel caches their statements, so that asking costs one round trip.
define_sql_function! {
    #[sql_name = "pg_catalog.txid_current_if_assigned"]
    fn txid_current_if_assigned() -> Nullable<BigInt>;
}
define_sql_function! {
    #[sql_name = "pg_catalog.txid_status"]
    fn txid_status(id: BigInt) -> Nullable<Text>;
}
define_sql_function! {
    #[sql_name = "pg_catalog.current_setting"]
    fn current_setting(name: Text) -> Text;
}

define_sql_function! {
    #[sql_name = "pg_catalog.current_setting"]
    fn current_setting_if_set(name: Text, missing_ok: Bool) -> Nullable<Text>;
}

#[derive(QueryableByName)]
struct ServerRow {
    #[diesel(sql_type = Text)]
    version: String,
    #[diesel(sql_type = Integer)]
    max_prepared: i32,
    #[diesel(sql_type = Text)]
    database: String,
    #[diesel(sql_type = Text)]
    fsync: String,
    #[diesel(sql_type = Bool)]
    standby: bool,
}

#[derive(QueryableByName)]
struct Identity {
    #[diesel(sql_type = Text)]
    identity: String,
}

#[derive(QueryableByName)]
struct Prepared {
    #[diesel(sql_type = Text)]
    gid: String,
    #[diesel(sql_type = BigInt)]
    age: i64,
    #[diesel(sql_type = Text)]
    database: String,
    #[diesel(sql_type = Bool)]
    is_here: bool,
    #[diesel(sql_type = Text)]
    owner: String,
    #[diesel(sql_type = Bool)]
    is_own: bool,
}

impl Prepared {
    fn found(self) -> Option<Found> {
        let branch: Branch = self.gid.parse().ok()?;
        Some(Found {
            name: self.gid,
            namespace: branch.gid.namespace.clone(),
            unit: branch.gid.unit,
            bind: branch.bind.clone(),
            branch: Some(branch),
            age: u64::try_from(self.age).ok().map(Duration::from_millis),
            reach: match (self.is_here, self.is_own) {
                (false, _) => Reach::OtherDatabase(self.database),
                (true, false) => Reach::OtherRole(self.owner),
                (true, true) => Reach::Here,
            },
        })
    }
}

#[derive(QueryableByName)]
struct Listed {
    #[diesel(sql_type = Text)]
    owner: String,
    #[diesel(sql_type = Bool)]
    own: bool,
}

impl Dialect for AsyncPgConnection {
    const BACKEND: Backend = Backend::Postgres;
    const CLOCK: Clock = Clock {
        now: "CAST(floor(extract(epoch FROM clock_timestamp())) AS bigint)",
        at: "CAST(floor(extract(epoch FROM at)) AS bigint)",
    };

    async fn inspect(&mut self) -> QueryResult<Server> {
        let row: ServerRow = sql_query(
            "SELECT current_setting('server_version') AS version, \
             current_setting('max_prepared_transactions')::int AS max_prepared, \
             current_setting('fsync') AS fsync, current_database()::text AS database, \
             pg_is_in_recovery() AS standby",
        )
        .get_result(self)
        .await?;
        // Some hosts do not let everybody ask for it; only the preflight wants to know.
        let identity: QueryResult<Identity> = sql_query(
            "SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' || \
             (SELECT oid FROM pg_database WHERE datname = current_database())::text AS identity",
        )
        .get_result(self)
        .await;
        let mut remarks = Vec::new();
        if row.standby {
            remarks.push("the server is a read-only standby".to_owned());
        }
        Ok(Server {
            system: "postgresql",
            database: row.database,
            version: row.version,
            schema: SCHEMA.into(),
            cannot_prepare: (row.max_prepared == 0)
                .then(|| "`max_prepared_transactions` is 0".to_owned()),
            prepared_slots: u32::try_from(row.max_prepared).ok(),
            not_durable: (row.fsync != "on").then(|| "`fsync` is off".to_owned()),
            identity: identity.map(|row| row.identity).unwrap_or_default(),
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

    async fn verify(&mut self, terms: &Terms) -> Result<(), Fault> {
        internals::verify_depth(internals::status(self), &terms.begun)?;
        let marker: QueryResult<Option<String>> =
            diesel::select(current_setting_if_set("diesel_binds.unit", true))
                .get_result(self)
                .await;
        match marker {
            Ok(marker) if marker.as_deref() == Some(&terms.unit.to_string()) => Ok(()),
            Ok(_) => Err(Fault::Ended(diesel::result::Error::NotInTransaction)),
            // An aborted transaction answers nothing, keeps nothing, and takes no other statement.
            Err(_) => Ok(()),
        }
    }

    async fn answer(&mut self, _: &Terms) -> QueryResult<()> {
        // An empty query is answered in an aborted transaction as well.
        self.batch_execute("").await
    }

    fn is_conflict(error: &diesel::result::Error) -> bool {
        retry::is_conflict(error)
    }

    async fn ask(&mut self, _: &Terms) -> Result<Asked, Fault> {
        let (transaction, isolation): (Option<i64>, String) = diesel::select((
            txid_current_if_assigned(),
            current_setting("transaction_isolation"),
        ))
        .get_result(self)
        .await
        .map_err(Fault::Refused)?;
        Ok(Asked {
            wrote: transaction.is_some(),
            serializable: isolation == "serializable",
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
        // A role of the unit may not be allowed to read our tables.
        self.batch_execute(LEAVE_ROLE)
            .await
            .map_err(Fault::Refused)?;
        sql::database_id(sql_query(sql::meta(SCHEMA)).load(self).await)
    }

    async fn prepare(&mut self, terms: &Terms, branch: &Branch) -> Result<(), Fault> {
        // After `SET LOCAL ROLE` the prepared transaction would belong to that role, and we could never finish it.
        let message = format!(
            "{}; {LEAVE_ROLE}; PREPARE TRANSACTION '{branch}'",
            use_up_marker(terms)
        );
        self.batch_execute(&message).await.map_err(fault)?;
        internals::leave(internals::status(self));
        Ok(())
    }

    async fn commit(&mut self, terms: &Terms) -> Result<(), AloneFault> {
        let message = format!("{}; COMMIT", use_up_marker(terms));
        let (transaction, reply) = {
            // Both requests leave at once. The id comes back even when a crash in the commit takes that reply away.
            // The first time on a connection its statement must be prepared, and it answers too late: that costs the
            // answer to a reply lost in exactly this commit, and nothing else.
            let (mut asking, mut committing) = (&*self, &*self);
            tokio::join!(
                diesel::select(txid_current_if_assigned()).get_result::<Option<i64>>(&mut asking),
                committing.batch_execute(&message),
            )
        };
        let Err(error) = reply else {
            internals::leave(internals::status(self));
            return Ok(());
        };
        // A connection that still answers makes the error the reply of the server, which then kept nothing.
        let fault = match self.rollback(terms).await {
            Ok(()) => fault(error),
            Err(_) => Fault::Lost(error),
        };
        Err(AloneFault {
            fault,
            transaction: transaction.ok().flatten(),
        })
    }

    async fn decide(&mut self, terms: &Terms, decision: &Decision) -> Result<(), Fault> {
        let message = format!(
            "{}; {LEAVE_ROLE}; {}; \
             SELECT pg_catalog.set_config('synchronous_commit', 'on', true) \
             WHERE pg_catalog.current_setting('synchronous_commit') IN ('off', 'local', 'remote_write'); \
             COMMIT",
            use_up_marker(terms),
            sql::insert_decision(SCHEMA, decision, "true"),
        );
        self.batch_execute(&message).await.map_err(fault)?;
        internals::leave(internals::status(self));
        Ok(())
    }

    async fn finish(&mut self, _: &Terms, branch: &Branch, outcome: Outcome) -> QueryResult<()> {
        finish_prepared(self, branch, outcome).await
    }

    async fn rollback(&mut self, terms: &Terms) -> QueryResult<()> {
        if terms.joined {
            return join::undo(self, terms).await;
        }
        self.batch_execute("ROLLBACK").await?;
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
                if let Err(error) = token.cancel_query(tokio_postgres::NoTls).await {
                    tracing::debug!(%error, "an abandoned statement could not be cancelled");
                }
            }
            .boxed(),
        )
    }

    /// Nothing for the whole session: behind a transaction pooler the next user would get it.
    async fn recovery_settings(&mut self) -> QueryResult<()> {
        Ok(())
    }

    async fn keep_out(&mut self, schema: &str, gid: &Gid) -> QueryResult<()> {
        let insert = format!(
            "{DURABLY}; SET LOCAL statement_timeout = '20s'; INSERT {} ON CONFLICT DO NOTHING; COMMIT",
            sql::fence_row(schema, gid)
        );
        let inserted = self.batch_execute(&insert).await;
        if inserted.is_err() {
            self.batch_execute("ROLLBACK").await?;
        }
        inserted
    }

    async fn lists(&mut self, branch: &Branch) -> QueryResult<bool> {
        Ok(!listed(self, branch).await?.is_empty())
    }

    async fn finish_listed(&mut self, branch: &Branch, outcome: Outcome) -> QueryResult<()> {
        let rows = listed(self, branch).await?;
        let Some(Listed { owner, own }) = rows.into_iter().next() else {
            return Ok(());
        };
        if own {
            return finish_prepared(self, branch, outcome).await;
        }
        // Even a member of the owner may not finish its transaction before it says so. Not before it must: behind a
        // transaction pooler, the role may stay for the next user.
        let role = owner.replace('"', "\"\"");
        self.batch_execute(&format!("SET ROLE \"{role}\"")).await?;
        let finished = finish_prepared(self, branch, outcome).await;
        self.batch_execute("RESET ROLE").await?;
        finished
    }

    async fn branches(&mut self, namespace: &str) -> QueryResult<Vec<Found>> {
        // An underscore in a namespace is a wildcard of LIKE; `starts_with` has none.
        let rows: Vec<Prepared> = sql_query(format!(
            "SELECT gid, (extract(epoch FROM clock_timestamp() - prepared) * 1000)::bigint AS age, \
             database::text AS database, database = pg_catalog.current_database() AS is_here, \
             coalesce(owner::text, '') AS owner, coalesce(pg_catalog.pg_has_role(owner, 'MEMBER'), false) AS is_own \
             FROM pg_catalog.pg_prepared_xacts WHERE pg_catalog.starts_with(gid, 'db1:{namespace}:') \
             OR (pg_catalog.starts_with(gid, 'db1:') AND database = pg_catalog.current_database())"
        ))
        .load(self)
        .await?;
        Ok(rows.into_iter().filter_map(Prepared::found).collect())
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
        self.batch_execute(DURABLY).await?;
        let changed = sql_query(statement).execute(self).await;
        end(self, changed).await
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
        let row = sql::force_row(schema, gid, outcome, "$1");
        let insert = sql_query(format!("INSERT {row} ON CONFLICT DO NOTHING"));
        self.batch_execute(DURABLY).await?;
        let inserted = insert.bind::<Text, _>(reason).execute(self).await;
        end(self, inserted).await.map(drop)
    }

    async fn fate(&mut self, transaction: i64) -> QueryResult<Option<Outcome>> {
        let status: Option<String> = diesel::select(txid_status(transaction))
            .get_result(self)
            .await?;
        Ok(match status.as_deref() {
            Some("committed") => Some(Outcome::Commit),
            Some("aborted") => Some(Outcome::Abort),
            _ => None,
        })
    }

    async fn install(&mut self) -> QueryResult<()> {
        // `IF NOT EXISTS` does not keep two sessions from creating the same table at once; the lock does.
        let message = format!(
            "BEGIN; SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('diesel_binds')); {}; COMMIT",
            include_str!("../../migrations/postgres/2026-01-01-000000_diesel_binds/up.sql")
        );
        let result = self.batch_execute(&message).await;
        if result.is_err() {
            self.batch_execute("ROLLBACK").await?;
        }
        result
    }
}

/// Fails, in any state of the connection, unless this is the transaction that the unit began.
///
/// `COMMIT` and `PREPARE TRANSACTION` in an aborted transaction succeed, and keep nothing; after a `COMMIT` of the
/// application there is none at all. A message stops at its first error, so this stands first in it.
fn use_up_marker(terms: &Terms) -> String {
    format!(
        "SELECT CAST(CASE WHEN coalesce(pg_catalog.current_setting('diesel_binds.unit', true), '') = '{}' \
         THEN '1' ELSE '{MARKER_LOST}' END AS pg_catalog.int4)",
        terms.unit
    )
}

fn fault(error: diesel::result::Error) -> Fault {
    if let diesel::result::Error::DatabaseError(_, information) = &error
        && information.message().contains(MARKER_LOST)
    {
        return Fault::Ended(error);
    }
    Fault::Refused(error)
}

/// Ends a transaction of recovery.
async fn end(connection: &mut AsyncPgConnection, done: QueryResult<usize>) -> QueryResult<usize> {
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    connection.batch_execute(end).await?;
    done
}

/// `COMMIT PREPARED` must be alone in its message.
async fn finish_prepared(
    connection: &mut AsyncPgConnection,
    branch: &Branch,
    outcome: Outcome,
) -> QueryResult<()> {
    let verb = match outcome {
        Outcome::Commit => "COMMIT",
        Outcome::Abort => "ROLLBACK",
    };
    connection
        .batch_execute(&format!("{verb} PREPARED '{branch}'"))
        .await
}

async fn listed(connection: &mut AsyncPgConnection, branch: &Branch) -> QueryResult<Vec<Listed>> {
    sql_query(format!(
        "SELECT owner::text AS owner, owner = current_user AS own FROM pg_catalog.pg_prepared_xacts \
         WHERE gid = '{branch}' AND database = pg_catalog.current_database()"
    ))
    .load(connection)
    .await
}
