//! Removal of session state that statements of the application may leave on a connection of PostgreSQL.
//!
//! All of it can be removed without losing prepared statements of the driver. `RESET ALL` also resets the settings of
//! the pool, so these are set again.

use diesel::sql_types::Text;
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _};

use crate::backend::Terms;

/// Builds the message that sets the settings of the pool again, and fails if the connection is then not in its original
/// state.
///
/// A statement that was prepared by SQL has a name, with which a later `PREPARE` of that name would collide.
const FRESH: &str = "SELECT pg_catalog.concat(\
     (SELECT pg_catalog.string_agg(pg_catalog.format('SELECT pg_catalog.set_config(%L, %L, false); ', name, \
     pg_catalog.current_setting(name)), '') FROM pg_catalog.pg_settings WHERE source = 'session'), \
     pg_catalog.format('SELECT pg_catalog.set_config(''role'', %L, false); \
     SELECT CAST(CASE WHEN session_user = %L AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_prepared_statements \
     WHERE from_sql) THEN ''1'' ELSE ''not as it was'' END AS pg_catalog.int4)', \
     pg_catalog.current_setting('role'), session_user)) AS fresh";

/// Removes the state that the other message does not set again.
const RESET: &str = "CLOSE ALL; UNLISTEN *; SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; \
     DISCARD SEQUENCES; RESET SESSION AUTHORIZATION; RESET ALL";

/// Fails if schemas have types of the same name. diesel-async caches the id of a type by its bare name, resolved by the
/// `search_path`, which a hook or text may have set. In a unit with another `search_path`, that is the type of another
/// schema.
const ONE_TYPE_FOR_A_NAME: &str = "SELECT CAST(CASE WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_type t \
     JOIN pg_catalog.pg_type o ON o.typname = t.typname AND o.oid <> t.oid \
     LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid \
     WHERE t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c') \
     THEN 'types of one name' ELSE '1' END AS pg_catalog.int4)";

#[derive(QueryableByName)]
struct Fresh {
    #[diesel(sql_type = Text)]
    fresh: String,
}

/// Returns the message that brings a used connection into the state of this one.
pub(super) async fn fresh(connection: &mut AsyncPgConnection) -> QueryResult<String> {
    let Fresh { fresh } = sql_query(FRESH).get_result(connection).await?;
    Ok(fresh)
}

/// Restores the original state of the connection.
pub(super) async fn clean(connection: &mut AsyncPgConnection, terms: &Terms) -> QueryResult<bool> {
    if terms.server.pooled {
        // The pooler may have given the server connection to another client already.
        return Ok(true);
    }
    let Some(fresh) = &terms.server.session.fresh else {
        return Ok(false);
    };
    let message = format!("{RESET}; {fresh}; {ONE_TYPE_FOR_A_NAME}");
    connection.batch_execute(&message).await?;
    Ok(true)
}
