//! The lineage of a PostgreSQL server, and the fate of a transaction there.
//!
//! Each server assigns transaction ids on its own. A copy or a promoted standby has assigned the ids after its origin's
//! last one to other transactions.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::backend::server::Timeline;
use crate::backend::{Lineage, TransactionId};
use crate::commit::Outcome;

/// The start time of the server, in microseconds since 1970.
pub(super) const STARTED: &str =
    "CAST(extract(epoch FROM pg_catalog.pg_postmaster_start_time()) * 1000000 AS bigint)";

/// The id of a server that survives a restart: its system identifier, its timeline, its database and its address.
/// The timeline changes when the server is promoted or restored to a point in time. The address distinguishes it
/// from a copy of its files. Null on a standby.
pub(super) const PERSISTENT_ID: &str = "CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN pg_catalog.concat_ws('/', \
    (SELECT system_identifier FROM pg_catalog.pg_control_system()), \
    pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8), \
    (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()), \
    coalesce(pg_catalog.host(pg_catalog.inet_server_addr()), 'socket'), \
    pg_catalog.current_setting('port')) END";

/// The query for the id of the open transaction, if it has one, and for the start time of its server. It has a type of
/// its own, so that Diesel keeps it prepared: it is sent together with the commit.
#[derive(QueryId)]
pub(super) struct Current;

impl Query for Current {
    type SqlType = (Nullable<BigInt>, BigInt);
}

impl QueryFragment<Pg> for Current {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT pg_catalog.txid_current_if_assigned(), ");
        out.push_sql(STARTED);
        Ok(())
    }
}

#[derive(QueryableByName)]
struct Started {
    #[diesel(sql_type = BigInt)]
    started: i64,
}

#[derive(QueryableByName)]
struct PersistentId {
    #[diesel(sql_type = Nullable<Text>)]
    persistent_id: Option<String>,
}

#[derive(QueryableByName)]
struct Status {
    #[diesel(sql_type = Nullable<Text>)]
    status: Option<String>,
}

/// Returns the lineage of the server.
pub(super) async fn lineage(connection: &mut AsyncPgConnection) -> QueryResult<Lineage> {
    let Started { started } = sql_query(format!("SELECT {STARTED} AS started"))
        .get_result(connection)
        .await?;
    // Some hosts allow this query only to privileged roles.
    let persistent_id: QueryResult<PersistentId> =
        sql_query(format!("SELECT {PERSISTENT_ID} AS persistent_id"))
            .get_result(connection)
            .await;
    let persistent_id = persistent_id.ok().and_then(|row| row.persistent_id);
    Ok(of(started, persistent_id))
}

/// Returns the lineage of a server with this start time and this [`PERSISTENT_ID`].
pub(super) fn of(started: i64, persistent_id: Option<String>) -> Lineage {
    Lineage {
        started: Some(started),
        timeline: persistent_id.as_deref().and_then(timeline),
        cluster: None,
        persistent_id,
    }
}

fn timeline(persistent_id: &str) -> Option<Timeline> {
    let mut parts = persistent_id.split('/');
    let (system, number, database) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Timeline {
        origin: format!("{system}/{database}"),
        number: u32::from_str_radix(number, 16).ok()?,
    })
}

/// Returns how a commit whose reply was lost has ended, if this is the server that it was sent to. Each query
/// identifies the answering server in the same statement.
pub(super) async fn fate(
    connection: &mut AsyncPgConnection,
    TransactionId { id, started }: TransactionId,
    persistent_id: Option<&str>,
) -> QueryResult<Option<Outcome>> {
    let same_start: Status = sql_query(format!(
        "SELECT CASE WHEN {STARTED} = {started} THEN pg_catalog.txid_status({id}) END AS status"
    ))
    .get_result(connection)
    .await?;
    let status = match (same_start.status, persistent_id) {
        (Some(status), _) => status,
        (None, None) => return Ok(None),
        (None, Some(persistent_id)) => {
            let same_mark: Status = sql_query(format!(
                "SELECT CASE WHEN {PERSISTENT_ID} = $1 THEN pg_catalog.txid_status({id}) END AS status"
            ))
            .bind::<Text, _>(persistent_id)
            .get_result(connection)
            .await?;
            let Some(status) = same_mark.status else {
                return Ok(None);
            };
            status
        }
    };
    Ok(match status.as_str() {
        "committed" => Some(Outcome::Committed),
        "aborted" => Some(Outcome::RolledBack),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(started: i64, persistent_id: &str) -> Lineage {
        of(started, Some(persistent_id.to_owned()))
    }

    /// A standby can only be promoted to a higher timeline. Everything else that has the system identifier is a copy.
    #[test]
    fn only_a_higher_timeline_of_the_same_database_succeeds() {
        let used = server(1, "7/0000000A/16384/10.0.0.1/5432");
        for (found, expected) in [
            (server(1, "7/0000000A/16384/socket/5432"), "Same"),
            (server(2, "7/0000000A/16384/10.0.0.1/5432"), "Same"),
            (server(2, "7/0000000B/16384/10.0.0.2/5432"), "Promoted"),
            (server(2, "7/00000010/16384/10.0.0.1/5432"), "Promoted"),
            (server(2, "7/0000000A/16384/10.0.0.2/5432"), "Other"),
            (server(2, "7/00000009/16384/10.0.0.1/5432"), "Other"),
            (server(2, "7/0000000B/16385/10.0.0.1/5432"), "Other"),
            (server(2, "8/0000000B/16384/10.0.0.1/5432"), "Other"),
            (of(2, None), "Unknown"),
        ] {
            let succession = format!("{:?}", found.succession(&used));
            assert!(succession.starts_with(expected), "{found:?}: {succession}");
        }
    }
}
