//! What PostgreSQL says of itself.

use diesel::sql_types::{Bool, Integer, Text};
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::backend::Server;
use crate::backend::postgres::SCHEMA;

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

/// Asks for all of it.
pub(super) async fn inspect(connection: &mut AsyncPgConnection) -> QueryResult<Server> {
    let row: ServerRow = sql_query(
        "SELECT current_setting('server_version') AS version, \
         current_setting('max_prepared_transactions')::int AS max_prepared, \
         current_setting('fsync') AS fsync, current_database()::text AS database, \
         pg_is_in_recovery() AS standby",
    )
    .get_result(connection)
    .await?;
    // Some hosts do not let everybody ask for it; only the preflight wants to know.
    let identity: QueryResult<Identity> = sql_query(
        "SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' || \
         (SELECT oid FROM pg_database WHERE datname = current_database())::text AS identity",
    )
    .get_result(connection)
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

#[derive(QueryableByName)]
struct Follows {
    #[diesel(sql_type = Bool)]
    follows: bool,
}

/// Whether it is a standby, which lists no branch at all.
pub(super) async fn replica(
    connection: &mut AsyncPgConnection,
) -> QueryResult<Option<&'static str>> {
    let row: Follows = sql_query("SELECT pg_catalog.pg_is_in_recovery() AS follows")
        .get_result(connection)
        .await?;
    Ok(row.follows.then_some("`pg_is_in_recovery()`"))
}
