//! Branches that are prepared and unfinished.
//!
//! MariaDB lists those of the whole server. MySQL lists them only to a privileged role, and in no statement that the
//! driver returns rows of. But a branch has inserted a row about itself, which is not committed: READ UNCOMMITTED shows
//! it, and READ COMMITTED does not. While the branch is not finished, its locks protect the row and the table, also after
//! a restart. The row is there before the prepare, so a branch that is just being prepared is found as well.
//!
//! So on MySQL, a database lists its own branches only, and no branch that was made without this library. The branches of
//! a database without a bind are not found.

use std::collections::HashSet;

use diesel::sql_types::{BigInt, Binary, Text};
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl as _, SimpleAsyncConnection as _};

use crate::backend::mysql::Flag;
use crate::backend::mysql::diagnosis::{self, NO_TABLE};
use crate::backend::mysql::flavour::Flavour;
use crate::gid::{MAX_KEY, UnitId, XA_FORMAT, Xid, is_name};

/// The isolation level for the next statement. The row of a prepared branch is not committed.
pub(super) const READ_UNCOMMITTED: &str = "SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED";

/// The isolation level for the next statement, which sees what is committed.
const READ_COMMITTED: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// Returns whether the branch is prepared and unfinished, as far as the server lists it.
pub(super) async fn has_name(
    connection: &mut AsyncMysqlConnection,
    flavour: Flavour,
    unit: UnitId,
    bind: &str,
) -> QueryResult<bool> {
    let names = match flavour {
        Flavour::MariaDb => recovered(connection).await?,
        Flavour::MySql => uncommitted(connection, &row_of(unit, bind)).await?,
    };
    let mut names = names.iter();
    Ok(names.any(|(_, named, of)| *named == unit && of == bind))
}

/// The names of all branches of this library that the server lists: namespace, unit, bind.
pub(super) async fn names(
    connection: &mut AsyncMysqlConnection,
    flavour: Flavour,
) -> QueryResult<Vec<(String, UnitId, String)>> {
    match flavour {
        Flavour::MariaDb => recovered(connection).await,
        Flavour::MySql => uncommitted(connection, "TRUE").await,
    }
}

/// Returns whether branches can have rows here at all.
pub(super) async fn has_table(connection: &mut AsyncMysqlConnection) -> QueryResult<bool> {
    let row: Flag = sql_query(
        "SELECT COUNT(*) > 0 AS flag FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'diesel_binds_branch'",
    )
    .get_result(connection)
    .await?;
    Ok(row.flag)
}

/// Returns the condition for the row that a branch has inserted about itself.
pub(super) fn row_of(unit: UnitId, bind: &str) -> String {
    format!("unit = '{unit}' AND branch = '{bind}'")
}

/// Returns the branches whose rows are not committed.
pub(super) async fn uncommitted(
    connection: &mut AsyncMysqlConnection,
    condition: &str,
) -> QueryResult<Vec<(String, UnitId, String)>> {
    let rows = format!("SELECT namespace, unit, branch FROM diesel_binds_branch WHERE {condition}");
    // In this order: a branch that is committed in between has a committed row.
    connection.batch_execute(READ_UNCOMMITTED).await?;
    let all: Vec<Named> = match sql_query(&rows).load(connection).await {
        Ok(rows) => rows,
        // A role that may not read the table must not take it for missing: its branches would count as finished.
        Err(error) => match diagnosis::is_one_of(connection, &error, NO_TABLE).await {
            true => return Ok(Vec::new()),
            false => return Err(error),
        },
    };
    if all.is_empty() {
        return Ok(Vec::new());
    }
    connection.batch_execute(READ_COMMITTED).await?;
    let committed: Vec<Named> = sql_query(&rows).load(connection).await?;
    let committed: HashSet<_> = committed.into_iter().collect();
    let open = all.into_iter().filter(|row| !committed.contains(row));
    let names = open.filter_map(|row| {
        // Any role that may write to the table chooses its content.
        let is_ours = is_name(&row.branch, MAX_KEY);
        let unit = row.unit.parse().ok().filter(|_| is_ours)?;
        Some((row.namespace, unit, row.branch))
    });
    Ok(names.collect())
}

/// The names of all branches of this library in `XA RECOVER`.
async fn recovered(
    connection: &mut AsyncMysqlConnection,
) -> QueryResult<Vec<(String, UnitId, String)>> {
    let rows: Vec<Recovered> = sql_query("XA RECOVER").load(connection).await?;
    let names = rows.iter().filter_map(|row| {
        let (gtrid, bqual) = row.names()?;
        let Xid {
            namespace,
            unit,
            bind,
        } = Xid::of_names(gtrid, bqual)?;
        Some((namespace, unit, bind))
    });
    Ok(names.collect())
}

/// The name of a branch, in its row.
#[derive(PartialEq, Eq, Hash, QueryableByName)]
struct Named {
    #[diesel(sql_type = Text)]
    namespace: String,
    #[diesel(sql_type = Text)]
    unit: String,
    #[diesel(sql_type = Text)]
    branch: String,
}

/// One row of `XA RECOVER`.
#[derive(QueryableByName)]
#[diesel(check_for_backend(diesel::mysql::Mysql))]
#[allow(non_snake_case)]
struct Recovered {
    #[diesel(sql_type = BigInt, column_name = "formatID")]
    format: i64,
    #[diesel(sql_type = BigInt)]
    gtrid_length: i64,
    #[diesel(sql_type = BigInt)]
    #[allow(dead_code)]
    bqual_length: i64,
    /// The name, which may contain any bytes if it belongs to another application.
    #[diesel(sql_type = Binary)]
    data: Vec<u8>,
}

impl Recovered {
    /// Returns the global id and the branch, if the name may be one of ours.
    fn names(&self) -> Option<(&str, &str)> {
        if self.format != i64::from(XA_FORMAT) {
            return None;
        }
        let length = usize::try_from(self.gtrid_length).ok()?;
        std::str::from_utf8(&self.data)
            .ok()?
            .split_at_checked(length)
    }
}
