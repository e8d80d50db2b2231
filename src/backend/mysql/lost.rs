//! Prepared branches whose names MariaDB has lost. MySQL loses none.

use std::time::Duration;

use diesel::sql_types::{BigInt, Bool, Text, Unsigned};
use diesel::{OptionalExtension as _, QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection as _};
use tokio::time::sleep;

use crate::backend::mysql::Flag;
use crate::backend::mysql::flavour::Flavour;
use crate::backend::mysql::listing::{READ_UNCOMMITTED, has_name, row_of, uncommitted};
use crate::gid::UnitId;

/// The wait until InnoDB has released the branch of a connection. The server stops listing the connection a few
/// instructions earlier. No query that every role may run shows the exact moment.
const LETTING_GO: Duration = Duration::from_millis(50);

/// Returns whether a branch is prepared, but no longer listed by the server: its connection is gone, and its row is
/// still not committed.
pub(super) async fn is_lost(
    connection: &mut AsyncMysqlConnection,
    unit: UnitId,
    bind: &str,
) -> QueryResult<bool> {
    let Some(owner) = owner(connection, unit, bind).await? else {
        return Ok(false);
    };
    // The order matters. A transaction that is not prepared is rolled back before its connection is gone. A branch that
    // is no longer listed is finished or lost. The row of a finished branch is visible to all, or gone.
    Ok(is_gone(connection, owner.id, 1).await?
        && !has_name(connection, Flavour::MariaDb, unit, bind).await?
        && !uncommitted(connection, &row_of(unit, bind))
            .await?
            .is_empty()
        && self::owner(connection, unit, bind).await?.is_some())
}

/// Returns whether a branch that is not listed is lost, or its connection is ending it.
pub(super) async fn is_lost_or_ending(
    connection: &mut AsyncMysqlConnection,
    unit: UnitId,
    bind: &str,
) -> QueryResult<bool> {
    if is_lost(connection, unit, bind).await? {
        return Ok(true);
    }
    match owner(connection, unit, bind).await? {
        Some(owner) => is_ending(connection, owner.id).await,
        None => Ok(false),
    }
}

/// Returns the branches of the namespace that the server has lost. `listed` was read before.
pub(super) async fn lost(
    connection: &mut AsyncMysqlConnection,
    namespace: &str,
    listed: &[(String, UnitId, String)],
) -> QueryResult<Vec<(UnitId, String)>> {
    let mut lost = Vec::new();
    for (_, unit, bind) in uncommitted(connection, &format!("namespace = '{namespace}'")).await? {
        let mut listed = listed.iter();
        if !listed.any(|(_, named, of)| *named == unit && *of == bind)
            && is_lost(connection, unit, &bind).await?
        {
            lost.push((unit, bind));
        }
    }
    Ok(lost)
}

/// Returns the connection that prepared a branch, from the row of the branch.
///
/// Connection numbers start again when the server starts. Its start time is known to the second.
pub(super) async fn owner(
    connection: &mut AsyncMysqlConnection,
    unit: UnitId,
    bind: &str,
) -> QueryResult<Option<Owner>> {
    let Status { value: uptime } = sql_query("SHOW GLOBAL STATUS LIKE 'Uptime'")
        .get_result(connection)
        .await?;
    connection.batch_execute(READ_UNCOMMITTED).await?;
    let row: QueryResult<Owner> = sql_query(format!(
        "SELECT connection_id AS id, at >= FROM_UNIXTIME(UNIX_TIMESTAMP() - '{uptime}' + 1) AS is_of_this_start \
         FROM diesel_binds_branch WHERE {}",
        row_of(unit, bind)
    ))
    .get_result(connection)
    .await;
    row.optional()
}

/// Returns whether a connection runs a statement that ends or prepares a branch. A commit that waits for a replica is no
/// longer listed, and its work is visible. Every role sees the statements of its own connections.
pub(super) async fn is_ending(connection: &mut AsyncMysqlConnection, id: u64) -> QueryResult<bool> {
    let row: Flag = sql_query(format!(
        "SELECT COUNT(*) > 0 AS flag FROM information_schema.PROCESSLIST WHERE ID = {id} AND INFO RLIKE '^XA '"
    ))
    .get_result(connection)
    .await?;
    Ok(row.flag)
}

/// Checks `looks` times whether a connection is gone. If it was still there at first, waits until InnoDB has released
/// its transaction.
pub(super) async fn is_gone(
    connection: &mut AsyncMysqlConnection,
    id: u64,
    looks: usize,
) -> QueryResult<bool> {
    for look in 0..looks {
        let row: Flag = sql_query(format!(
            "SELECT COUNT(*) > 0 AS flag FROM information_schema.PROCESSLIST WHERE ID = {id}"
        ))
        .get_result(connection)
        .await?;
        if !row.flag {
            if look > 0 {
                sleep(LETTING_GO).await;
            }
            return Ok(true);
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(false)
}

#[derive(QueryableByName)]
struct Status {
    #[diesel(sql_type = Text, column_name = "Value")]
    value: String,
}

/// The connection that prepared a branch.
#[derive(QueryableByName)]
pub(super) struct Owner {
    #[diesel(sql_type = Unsigned<BigInt>)]
    pub(super) id: u64,
    /// `true` if the server has certainly not been restarted since.
    #[diesel(sql_type = Bool)]
    pub(super) is_of_this_start: bool,
}
