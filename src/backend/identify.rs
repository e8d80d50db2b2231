//! The query for the identity of a database on PostgreSQL, MySQL and MariaDB: the id, findings on the tables, and whether
//! records of a unit may have been deleted.

use diesel::sql_types::Bool;
use diesel::{QueryResult, QueryableByName};

use crate::backend::tables::{Meta, database_id};
use crate::backend::{Terms, sql};
use crate::commit::{Fault, Identified};
use crate::gid::Gid;

/// The row of `diesel_binds_meta`, read for a unit.
#[derive(QueryableByName)]
pub(super) struct MetaForUnit {
    #[diesel(embed)]
    meta: Meta,
    #[diesel(sql_type = Bool)]
    forgotten: bool,
}

/// Extends the query `meta` by whether records of the unit may have been deleted.
pub(super) fn for_unit(meta: &str, schema: &str, terms: &Terms) -> String {
    let forgotten = sql::is_behind_horizon(schema, &terms.namespace, terms.unit);
    let columns = meta.trim_start_matches("SELECT ");
    format!("SELECT {forgotten} AS forgotten, {columns}")
}

/// Returns the identity of the database, and whether it could hold the decision of the unit.
pub(super) fn identified(rows: QueryResult<Vec<MetaForUnit>>) -> Result<Identified, Fault> {
    let mut has_forgotten = false;
    let rows = rows.map(|rows| {
        let metas = rows.into_iter().map(|row| {
            has_forgotten |= row.forgotten;
            row.meta
        });
        metas.collect()
    });
    Ok(Identified {
        database: database_id(rows)?,
        has_forgotten,
    })
}

/// Makes sure that the database is the holder's.
pub(super) fn verify_holder(rows: QueryResult<Vec<Meta>>, gid: &Gid) -> Result<(), Fault> {
    if database_id(rows)? == gid.holder_id {
        Ok(())
    } else {
        Err(Fault::Replaced)
    }
}
