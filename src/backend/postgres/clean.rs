//! What statements of an application may leave on a connection of PostgreSQL, and how it goes.
//!
//! All of it can be taken back without losing the statements that are kept prepared. `RESET ALL` also takes what the pool
//! has set: that is set again.

use diesel::sql_types::Text;
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _};

use crate::backend::Terms;

/// Makes the message that sets again what the pool has set, and fails if the connection is then not as it was.
///
/// A statement that was prepared by SQL has a name, which a later `PREPARE` of the same name would meet.
const FRESH: &str = "SELECT pg_catalog.concat(\
     (SELECT pg_catalog.string_agg(pg_catalog.format('SELECT pg_catalog.set_config(%L, %L, false); ', name, \
     pg_catalog.current_setting(name)), '') FROM pg_catalog.pg_settings WHERE source = 'session'), \
     pg_catalog.format('SELECT pg_catalog.set_config(''role'', %L, false); \
     SELECT CAST(CASE WHEN session_user = %L AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_prepared_statements \
     WHERE from_sql) THEN ''1'' ELSE ''not as it was'' END AS pg_catalog.int4)', \
     pg_catalog.current_setting('role'), session_user)) AS fresh";

/// Takes the rest.
const TAKE: &str = "CLOSE ALL; UNLISTEN *; SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; \
     DISCARD SEQUENCES; RESET SESSION AUTHORIZATION; RESET ALL";

/// Fails where schemas have types of the same name. diesel-async keeps the number of a type by its bare name, as the
/// `search_path` of a hook at the begin had it first: in a unit with another one, that is the type of another schema.
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

/// What makes a used connection as this one is.
pub(super) async fn fresh(connection: &mut AsyncPgConnection) -> QueryResult<String> {
    let Fresh { fresh } = sql_query(FRESH).get_result(connection).await?;
    Ok(fresh)
}

/// Makes the connection as it was.
pub(super) async fn clean(connection: &mut AsyncPgConnection, terms: &Terms) -> QueryResult<bool> {
    if terms.server.pooled {
        // The connection of the server is already somebody else's.
        return Ok(true);
    }
    let Some(fresh) = &terms.server.session.fresh else {
        return Ok(false);
    };
    let mut message = format!("{TAKE}; {fresh}");
    if terms.hooked {
        message.push_str("; ");
        message.push_str(ONE_TYPE_FOR_A_NAME);
    }
    connection.batch_execute(&message).await?;
    Ok(true)
}
