//! Finishing branches that other connections prepared, and telling those that the server has lost.
//!
//! A connection that goes away gives the name of its branch free before InnoDB lets go of the transaction. Whoever
//! finishes the branch in between is told that it worked, but InnoDB finds nothing to finish: the name is gone from
//! `XA RECOVER`, and the transaction stays prepared, with its locks, until the server is restarted and lists it again (10
//! of 400 on MariaDB 10.11.19, right after a `KILL`). So a branch is only touched when its connection is gone, and after
//! that its own row is asked whether it is finished.

use std::collections::HashSet;
use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{BigInt, Bool, Text, Unsigned};
use diesel::{OptionalExtension as _, QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection as _};
use tokio::time::sleep;

use crate::backend::mysql::prepared::{READ_UNCOMMITTED, is_listed};
use crate::backend::mysql::{Flag, verb};
use crate::commit::Outcome;
use crate::gid::{Branch, UnitId, Xid};

/// How often a branch is tried whose connection does not go away.
const ATTEMPTS: usize = 5;

/// How often we look whether a connection is gone, every 10 ms: one that may live, and one that was killed.
const FEW_LOOKS: usize = 10;
const LOOKS: usize = 100;

/// The server stops listing a connection a few instructions before InnoDB lets go of its branch, and nothing that every
/// role may ask tells that moment.
const LETTING_GO: Duration = Duration::from_millis(50);

/// Finishes a branch when the connection that prepared it is gone. It is killed if it stays.
pub(super) async fn finish(
    connection: &mut AsyncMysqlConnection,
    branch: &Branch,
    outcome: Outcome,
) -> QueryResult<()> {
    let (unit, bind) = (branch.gid.unit, &*branch.bind);
    let xid = Xid {
        namespace: branch.gid.namespace.clone(),
        unit,
        bind: branch.bind.clone(),
    };
    let finish = format!("XA {} {xid}", verb(outcome));
    let owner = owner(connection, unit, bind).await?;
    let mut refused = None;
    for _ in 0..ATTEMPTS {
        if !is_listed(connection, unit, bind).await? {
            break;
        }
        if let Some(owner) = &owner
            && !is_gone(connection, owner.id, FEW_LOOKS).await?
            && owner.is_of_this_start
        {
            kill(connection, owner.id).await;
            if !is_gone(connection, owner.id, LOOKS).await? {
                return Err(error("the connection that prepared it does not go away"));
            }
        }
        let Err(error) = connection.batch_execute(&finish).await else {
            refused = None;
            break;
        };
        // Unknown, although it is listed: its connection lives, or somebody else finishes it just now. Where it is not
        // certain that the server has not been started again since, that alone is a reason to kill one: its number may
        // be somebody else's.
        if !error.to_string().contains("XAER_NOTA") {
            return Err(error);
        }
        if let Some(owner) = &owner {
            kill(connection, owner.id).await;
            is_gone(connection, owner.id, LOOKS).await?;
        }
        refused = Some(error);
    }
    if is_lost(connection, unit, bind).await? {
        return Err(error(
            "the server has lost its name, and lets it be finished only after a restart",
        ));
    }
    match refused {
        Some(error) if is_listed(connection, unit, bind).await? => Err(error),
        _ => Ok(()),
    }
}

/// Whether a branch is prepared, and the server does not list it any more: its connection is gone, and its row is still
/// not committed.
pub(super) async fn is_lost(
    connection: &mut AsyncMysqlConnection,
    unit: UnitId,
    bind: &str,
) -> QueryResult<bool> {
    let Some(owner) = owner(connection, unit, bind).await? else {
        return Ok(false);
    };
    // In this order. A transaction that is not prepared is rolled back before its connection is gone; what is not listed
    // any more is finished, or lost; and what is finished shows a row to everybody, or none.
    Ok(is_gone(connection, owner.id, 1).await?
        && !is_listed(connection, unit, bind).await?
        && has_row(connection, unit, bind, true).await?
        && !has_row(connection, unit, bind, false).await?
        && has_row(connection, unit, bind, true).await?)
}

/// The branches of the namespace that the server has lost. `listed` was read before.
pub(super) async fn lost(
    connection: &mut AsyncMysqlConnection,
    namespace: &str,
    listed: &[(String, UnitId, String)],
) -> QueryResult<Vec<(UnitId, String)>> {
    let rows =
        format!("SELECT unit, branch FROM diesel_binds_branch WHERE namespace = '{namespace}'");
    connection.batch_execute(READ_UNCOMMITTED).await?;
    let all: Vec<Row> = sql_query(&rows).load(connection).await?;
    let committed: Vec<Row> = sql_query(&rows).load(connection).await?;
    let committed: HashSet<_> = committed.into_iter().collect();
    let mut lost = Vec::new();
    for row in all.into_iter().filter(|row| !committed.contains(row)) {
        let Ok(unit) = row.unit.parse() else {
            continue;
        };
        let mut listed = listed.iter();
        if !listed.any(|(_, named, bind)| *named == unit && *bind == row.branch)
            && is_lost(connection, unit, &row.branch).await?
        {
            lost.push((unit, row.branch));
        }
    }
    Ok(lost)
}

/// Whether the branch has a row, be it uncommitted.
async fn has_row(
    connection: &mut AsyncMysqlConnection,
    unit: UnitId,
    bind: &str,
    uncommitted: bool,
) -> QueryResult<bool> {
    if uncommitted {
        connection.batch_execute(READ_UNCOMMITTED).await?;
    }
    let row: Flag = sql_query(format!(
        "SELECT COUNT(*) > 0 AS flag FROM diesel_binds_branch WHERE unit = '{unit}' AND branch = '{bind}'"
    ))
    .get_result(connection)
    .await?;
    Ok(row.flag)
}

/// The connection that prepared a branch, as the branch says.
///
/// Connections get their numbers anew when the server starts. Its start is known to the second.
async fn owner(
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
         FROM diesel_binds_branch WHERE unit = '{unit}' AND branch = '{bind}'"
    ))
    .get_result(connection)
    .await;
    row.optional()
}

/// Looks so often whether a connection is gone. If it was there, we wait until InnoDB has let go of what it had.
async fn is_gone(
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

async fn kill(connection: &mut AsyncMysqlConnection, id: u64) {
    if let Err(error) = connection.batch_execute(&format!("KILL {id}")).await {
        tracing::trace!(%error, "the connection of a branch is gone already");
    }
}

fn error(message: &str) -> DieselError {
    DieselError::DatabaseError(DatabaseErrorKind::Unknown, Box::new(message.to_owned()))
}

#[derive(QueryableByName)]
struct Status {
    #[diesel(sql_type = Text, column_name = "Value")]
    value: String,
}

/// The connection that prepared a branch.
#[derive(QueryableByName)]
struct Owner {
    #[diesel(sql_type = Unsigned<BigInt>)]
    id: u64,
    /// It is certain that the server has not been started again since.
    #[diesel(sql_type = Bool)]
    is_of_this_start: bool,
}

/// The name of a row about a branch.
#[derive(PartialEq, Eq, Hash, QueryableByName)]
pub(super) struct Row {
    #[diesel(sql_type = Text)]
    pub(super) unit: String,
    #[diesel(sql_type = Text)]
    pub(super) branch: String,
}
