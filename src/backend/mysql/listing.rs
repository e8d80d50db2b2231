//! Branches that the server lists.

use diesel::sql_types::{BigInt, Binary};
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl as _};

use crate::gid::{UnitId, XA_FORMAT, Xid};

/// Returns whether the server lists the branch.
pub(super) async fn has_name(
    connection: &mut AsyncMysqlConnection,
    unit: UnitId,
    bind: &str,
) -> QueryResult<bool> {
    let names = names(connection).await?;
    let mut names = names.iter();
    Ok(names.any(|(_, named, of)| *named == unit && of == bind))
}

/// The names of all branches of this library that the server lists: namespace, unit, bind.
pub(super) async fn names(
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
