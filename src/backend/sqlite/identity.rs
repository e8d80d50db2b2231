//! The id of the database, and whether it may join a unit of several writers.
//!
//! Each unit that SQLite decides asks for all of this, so one statement does it, which is kept prepared.

use std::sync::LazyLock;

use diesel::result::Error;
use diesel::sql_types::{Bool, Integer, Nullable, Text};
use diesel::{RunQueryDsl as _, SqliteConnection, sql_query};

use crate::backend::Terms;
use crate::backend::sqlite::inspect::{
    DurabilityColumns, DurabilityRow, durability_columns, not_durable, reason_not_durable,
};
use crate::backend::sqlite::pragma::kept;
use crate::backend::sqlite::{lineage, tables};
use crate::backend::tables::{Meta, database_id, is_of_our_tables};
use crate::commit::{Fault, Identified};
use crate::gid::DatabaseId;

/// The properties of the main file, the row of `diesel_binds_meta`, the answer to [`tables::MADE_BY`], and whether
/// records of a unit may have been deleted. The values are a namespace and a unit.
///
/// Each column is qualified by its table, so that an error about a missing column names the table.
static QUERY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {}, diesel_binds_meta.holder_id, diesel_binds_meta.version, diesel_binds_meta.place, {}, \
         EXISTS (SELECT 1 FROM main.diesel_binds_horizon WHERE diesel_binds_horizon.namespace = ? \
         AND diesel_binds_horizon.unit >= ?) FROM main.diesel_binds_meta",
        durability_columns("main"),
        *tables::MADE_BY
    )
});

type Columns = (
    DurabilityColumns,
    (Text, Integer, Nullable<Text>, Text, Bool),
);

/// The row of `diesel_binds_meta`, the answer to [`tables::MADE_BY`], and whether records of the unit may have been
/// deleted.
type MetaRow = (String, i32, Option<String>, String, bool);

/// Returns the id of the database, if it may join a unit of several writers.
pub(super) fn identify(
    connection: &mut SqliteConnection,
    terms: &Terms,
) -> Result<Identified, Fault> {
    let (durability, meta) = read(connection, &terms.namespace, &terms.unit.to_string())?;
    if !terms.allow_not_durable
        && let Some(setting) = first_not_durable(connection, &durability, terms)?
    {
        return Err(Fault::NotDurable { setting });
    }
    let (_, _, place, _, has_forgotten) = &meta;
    let (is_recorded, has_forgotten) = (place.is_some(), *has_forgotten);
    let (file, ..) = durability;
    let database = verify(connection, &file, meta)?;
    if !is_recorded && !terms.read_only {
        // The place is committed together with the unit, or not at all.
        lineage::record(connection).map_err(Fault::Refused)?;
    }
    Ok(Identified {
        database,
        has_forgotten,
    })
}

/// Returns the id of the database.
pub(super) fn database(connection: &mut SqliteConnection) -> Result<DatabaseId, Fault> {
    let ((file, ..), meta) = read(connection, "", "")?;
    verify(connection, &file, meta)
}

fn read(
    connection: &mut SqliteConnection,
    namespace: &str,
    unit: &str,
) -> Result<(DurabilityRow, MetaRow), Fault> {
    kept::<Columns>(&QUERY, &[namespace, unit])
        .get_result(connection)
        .map_err(|error| match error {
            Error::NotFound => Fault::NotInstalled(error),
            _ if is_of_our_tables(&error) => Fault::NotInstalled(error),
            _ => Fault::Refused(error),
        })
}

/// Returns the setting of a file because of which a crash may lose a confirmed commit, if there is one.
fn first_not_durable(
    connection: &mut SqliteConnection,
    main: &DurabilityRow,
    terms: &Terms,
) -> Result<Option<String>, Fault> {
    if let Some(setting) = reason_not_durable("main", main) {
        return Ok(Some(setting));
    }
    for file in &*terms.attached {
        if let Some(setting) = not_durable(connection, file.key).map_err(Fault::Refused)? {
            return Ok(Some(setting));
        }
    }
    Ok(None)
}

/// Refuses tables that cannot keep a promise, and a file that is not the one recorded with the id.
fn verify(
    connection: &mut SqliteConnection,
    file: &str,
    (holder_id, version, place, made_by, _): MetaRow,
) -> Result<DatabaseId, Fault> {
    let database = match tables::are_of_migration(&made_by).map_err(Fault::Refused)? {
        true => database_id(Ok(vec![Meta::fit(holder_id, version)])),
        false => database_id(sql_query(tables::meta()).load(connection)),
    }?;
    if let Some(place) = place {
        lineage::verify(file, &place)?;
    }
    Ok(database)
}
