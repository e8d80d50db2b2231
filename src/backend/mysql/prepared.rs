//! Prepared branches: finding them, and reading their rows.

use std::time::Duration;

use diesel::sql_types::{BigInt, SmallInt, Text, Unsigned};
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection as _};

use crate::backend::mysql::flavour::Flavour;
use crate::backend::mysql::listing::{READ_UNCOMMITTED, has_table, names, row_of};
use crate::backend::mysql::lost;
use crate::backend::records::PAGE;
use crate::backend::{ListedBranch, Reach};
use crate::gid::{Branch, Gid, MAX_KEY, UnitId, is_name};

/// Returns the branches of the namespace, each with the row that it has inserted, and those of others that have a row
/// here.
pub(super) async fn branches(
    connection: &mut AsyncMysqlConnection,
    namespace: &str,
) -> QueryResult<Vec<ListedBranch>> {
    let mut branches = Vec::new();
    let flavour = Flavour::ask(connection).await?;
    let names_now = names(connection, flavour).await?;
    let has_rows = has_table(connection).await?;
    let lost = match flavour {
        Flavour::MariaDb if has_rows => lost::lost(connection, namespace, &names_now).await?,
        _ => Vec::new(),
    };
    let lost = lost
        .into_iter()
        .map(|(unit, bind)| ((namespace.to_owned(), unit, bind), Reach::Lost));
    let listed = names_now.into_iter().map(|name| (name, Reach::Here));
    for ((theirs, unit, bind), reach) in listed.chain(lost) {
        let row = match has_rows {
            true => branch_row(connection, unit, &bind).await?,
            false => None,
        };
        // The server also lists the branches of its other databases.
        if row.is_none() && theirs != namespace {
            continue;
        }
        branches.push(ListedBranch {
            name: format!("{theirs}:{unit}:{bind}"),
            age: row
                .as_ref()
                .and_then(|row| u64::try_from(row.age).ok())
                .map(Duration::from_millis),
            branch: row.and_then(|row| row.branch(&theirs, unit, &bind)),
            namespace: theirs,
            unit,
            bind,
            reach,
        });
    }
    // A branch that was finished since then has no row any more, and is left out.
    if branches.iter().any(|listed| listed.branch.is_none()) {
        let still = names(connection, flavour).await?;
        let is_listed = |branch: &ListedBranch| {
            let mut still = still.iter();
            still.any(|(_, unit, bind)| *unit == branch.unit && *bind == branch.bind)
        };
        branches.retain(|listed| listed.branch.is_some() || is_listed(listed));
    }
    Ok(branches)
}

/// Deletes the rows of committed branches: only those are visible to others.
pub(super) async fn delete_rows(
    connection: &mut AsyncMysqlConnection,
    schema: &str,
    namespace: &str,
) -> QueryResult<usize> {
    let mut deleted = 0;
    let flavour = Flavour::ask(connection).await?;
    loop {
        let rows: Vec<Row> = sql_query(format!(
            "SELECT unit, branch FROM {schema}diesel_binds_branch WHERE namespace = '{namespace}' LIMIT {PAGE}"
        ))
        .load(connection)
        .await?;
        let listed = names(connection, flavour).await?;
        let finished: Vec<String> = rows
            .iter()
            .filter_map(|row| Some((row.unit.parse().ok()?, row)))
            .filter(|(parsed, row)| {
                let mut listed = listed.iter();
                !listed.any(|(_, unit, bind)| unit == parsed && *bind == row.branch)
            })
            .filter(|(_, row)| is_name(&row.branch, MAX_KEY))
            .map(|(unit, row): (UnitId, _)| format!("('{unit}', '{}')", row.branch))
            .collect();
        if finished.is_empty() {
            return Ok(deleted);
        }
        deleted += sql_query(format!(
            "DELETE FROM {schema}diesel_binds_branch WHERE (unit, branch) IN ({})",
            finished.join(", ")
        ))
        .execute(connection)
        .await?;
        if rows.len() < PAGE {
            return Ok(deleted);
        }
    }
}

/// Returns the row of a branch that may still be prepared.
async fn branch_row(
    connection: &mut AsyncMysqlConnection,
    unit: UnitId,
    bind: &str,
) -> QueryResult<Option<BranchRow>> {
    connection.batch_execute(READ_UNCOMMITTED).await?;
    let rows: Vec<BranchRow> = sql_query(format!(
        "SELECT holder, holder_id, parts, TIMESTAMPDIFF(MICROSECOND, at, NOW(6)) DIV 1000 AS age \
         FROM diesel_binds_branch WHERE {}",
        row_of(unit, bind)
    ))
    .load(connection)
    .await?;
    Ok(rows.into_iter().next())
}

/// The key of a row about a branch.
#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    unit: String,
    #[diesel(sql_type = Text)]
    branch: String,
}

/// The row that a branch has inserted about itself.
#[derive(QueryableByName)]
struct BranchRow {
    #[diesel(sql_type = Text)]
    holder: String,
    #[diesel(sql_type = Text)]
    holder_id: String,
    #[diesel(sql_type = Unsigned<SmallInt>)]
    parts: u16,
    #[diesel(sql_type = BigInt)]
    age: i64,
}

impl BranchRow {
    fn branch(self, namespace: &str, unit: UnitId, bind: &str) -> Option<Branch> {
        // Any role that may write to the table chooses its content.
        if !is_name(&self.holder, MAX_KEY) {
            return None;
        }
        let gid = Gid {
            namespace: namespace.into(),
            unit,
            holder: self.holder,
            holder_id: self.holder_id.parse().ok()?,
        };
        Some(gid.branch(bind, self.parts))
    }
}
