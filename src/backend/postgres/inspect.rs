//! Queries for the properties of a PostgreSQL server.

use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text};
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::backend::postgres::lineage::{PERSISTENT_ID, STARTED};
use crate::backend::postgres::{SCHEMA, cancel, clean, lineage};
use crate::backend::{Durability, Role, Server, SessionDefaults};

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
    english: bool,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Bool)]
    limits_locks: bool,
    #[diesel(sql_type = Bool)]
    limits_idling: bool,
    #[diesel(sql_type = Integer)]
    process: i32,
    #[diesel(sql_type = BigInt)]
    time: i64,
    #[diesel(sql_type = BigInt)]
    started: i64,
}

#[derive(QueryableByName)]
struct Fingerprint {
    #[diesel(sql_type = Text)]
    fingerprint: String,
    #[diesel(sql_type = Nullable<Text>)]
    persistent_id: Option<String>,
}

/// Reads the properties of the server and the session.
pub(super) async fn inspect(connection: &mut AsyncPgConnection) -> QueryResult<Server> {
    let row: ServerRow = sql_query(format!(
        "SELECT current_setting('server_version') AS version, \
         current_setting('max_prepared_transactions')::int AS max_prepared, \
         current_setting('fsync') AS fsync, current_database()::text AS database, \
         current_setting('role') AS role, \
         current_setting('lc_messages') ~* '^(c|posix|en)([._-]|$)' AS english, \
         current_setting('lock_timeout') <> '0' AS limits_locks, \
         current_setting('idle_in_transaction_session_timeout') <> '0' AS limits_idling, \
         pg_backend_pid() AS process, {STARTED} AS started, \
         (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS time"
    ))
    .get_result(connection)
    .await?;
    // Some hosts allow this query only to privileged roles.
    let fingerprint: QueryResult<Fingerprint> = sql_query(format!(
        "SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' || \
         (SELECT oid FROM pg_database WHERE datname = current_database())::text AS fingerprint, {PERSISTENT_ID} AS persistent_id"
    ))
    .get_result(connection)
    .await;
    let (fingerprint, persistent_id) = match fingerprint {
        Ok(row) => (row.fingerprint, row.persistent_id),
        Err(_) => (String::new(), None),
    };
    let announced = cancel::process(&connection.cancel_token()).await;
    Ok(Server {
        system: "postgresql",
        database: row.database,
        version: row.version,
        schema: SCHEMA.into(),
        is_node: false,
        cannot_prepare: (row.max_prepared == 0)
            .then(|| "`max_prepared_transactions` is 0".to_owned()),
        role: Role::Fixed,
        prepared_slots: u32::try_from(row.max_prepared).ok(),
        not_durable: (row.fsync != "on").then(|| "`fsync` is off".to_owned()),
        time: Some(row.time),
        fingerprint: fingerprint.into(),
        lineage: Some(lineage::of(row.started, persistent_id)),
        pooled: announced.is_some_and(|announced| announced != row.process),
        session: SessionDefaults {
            fresh: clean::fresh(connection).await.ok(),
            english: row.english,
            role: row.role,
            limits_locks: row.limits_locks,
            limits_idling: row.limits_idling,
            ..SessionDefaults::default()
        },
    })
}

/// Reads the durability of confirmed commits. Each of these settings can change while the server runs.
pub(super) async fn durability(connection: &mut AsyncPgConnection) -> QueryResult<Durability> {
    sql_query(
        "SELECT CASE WHEN pg_catalog.current_setting('fsync') <> 'on' THEN '`fsync` is off' END AS not_durable, \
         pg_catalog.current_setting('synchronous_standby_names') <> '' AS replicated",
    )
    .get_result(connection)
    .await
}
