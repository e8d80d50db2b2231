//! Reading and deleting the records that a holder keeps of ended units: the same statements on every server.
//!
//! Every value in the SQL text is a namespace or an id, made of `[a-z0-9_-]`, so nothing needs escaping.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use diesel::QueryResult;

use crate::backend::{Clock, Dialect, Record, RecordRow, is_of_our_tables};
use crate::commit::Fault;
use crate::gid::{DatabaseId, UnitId};

/// The time that a horizon stands before records behind it are deleted, in seconds. A fence that read the horizon
/// before it moved has finished by then, because its statement may take 20 seconds at most.
const HORIZON_DELAY: u32 = 60;

/// The number of records that are read at once.
pub(crate) const PAGE: usize = 1000;

/// The place of the records: their schema, their namespace, and the holder that they must belong to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordTable<'a> {
    pub(crate) schema: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) holder: DatabaseId,
}

/// Reads a page of the records of committed units of a namespace, in order. The units began before `before` and after
/// `after`. Records that cannot be parsed are left out, and stay.
pub(crate) async fn page<C: Dialect>(
    connection: &mut C,
    table: RecordTable<'_>,
    before: UnitId,
    after: Option<UnitId>,
) -> QueryResult<Vec<Record>> {
    let RecordTable {
        schema, namespace, ..
    } = table;
    let Clock { now, at } = C::CLOCK;
    let after = after.map_or_else(String::new, |unit| unit.to_string());
    let rows = connection
        .load_records(format!(
            "SELECT unit, participants, {now} - {at} AS age FROM {schema}diesel_binds_decision \
             WHERE outcome = 'commit' AND namespace = '{namespace}' AND unit < '{before}' AND unit > '{after}' \
             ORDER BY unit LIMIT {PAGE}"
        ))
        .await?;
    Ok(rows.into_iter().filter_map(RecordRow::read).collect())
}

/// Returns the current time of the server, rounded up to a second.
pub(crate) async fn now<C: Dialect>(connection: &mut C) -> QueryResult<SystemTime> {
    let now = C::CLOCK.now;
    let query = format!("SELECT '' AS unit, '' AS participants, {now} AS age");
    let rows = connection.load_records(query).await?;
    let seconds = rows.first().and_then(|row| row.age);
    let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Ok(UNIX_EPOCH + Duration::from_secs(seconds.unwrap_or_default() + 1))
}

/// Deletes the records of units behind a horizon that has stood for long enough. Returns how many there were.
pub(crate) async fn delete<C: Dialect>(
    connection: &mut C,
    table: RecordTable<'_>,
    units: &[UnitId],
) -> QueryResult<usize> {
    let RecordTable {
        schema,
        namespace,
        holder,
    } = table;
    let now = C::CLOCK.now;
    let units: Vec<String> = units.iter().map(|unit| format!("'{unit}'")).collect();
    connection
        .execute_durably(format!(
            "DELETE FROM {schema}diesel_binds_decision \
             WHERE unit IN ({}) AND outcome = 'commit' AND namespace = '{namespace}' \
             AND unit <= (SELECT h.unit FROM {schema}diesel_binds_horizon h \
                          WHERE h.namespace = '{namespace}' AND h.moved_at <= {now} - {HORIZON_DELAY}) \
             AND EXISTS (SELECT 1 FROM {schema}diesel_binds_meta m WHERE m.holder_id = '{holder}')",
            units.join(", ")
        ))
        .await
}

/// Returns the reason why the role may not run [`delete`] and [`move_horizon`], if the server reports one. Changes
/// nothing. Outside of a transaction.
pub(crate) async fn cannot_forget<C: Dialect>(connection: &mut C, schema: &str) -> Option<Fault> {
    // Write access to a file covers all of its tables.
    if C::IS_FILE {
        return None;
    }
    for statement in [
        format!("DELETE FROM {schema}diesel_binds_decision WHERE unit = '' AND 1 = 0"),
        format!(
            "UPDATE {schema}diesel_binds_horizon SET unit = '', moved_at = 0 WHERE namespace = '' AND 1 = 0"
        ),
        format!(
            "INSERT INTO {schema}diesel_binds_horizon (namespace, unit, moved_at) \
             SELECT holder_id, '', 0 FROM {schema}diesel_binds_meta WHERE 1 = 0"
        ),
    ] {
        // The error of a read-only server does not name the table.
        if let Err(error) = connection.execute_durably(statement).await
            && is_of_our_tables(&error)
        {
            return Some(Fault::Statement(error));
        }
    }
    None
}

/// Moves the horizon on to a unit, unless it moved just now: records behind it are being deleted.
pub(crate) async fn move_horizon<C: Dialect>(
    connection: &mut C,
    table: RecordTable<'_>,
    unit: UnitId,
) -> QueryResult<()> {
    let RecordTable {
        schema,
        namespace,
        holder,
    } = table;
    let now = C::CLOCK.now;
    connection
        .execute_durably(format!(
            "INSERT INTO {schema}diesel_binds_horizon (namespace, unit, moved_at) \
             SELECT '{namespace}', '', 0 FROM {schema}diesel_binds_meta WHERE holder_id = '{holder}' \
             AND NOT EXISTS (SELECT 1 FROM {schema}diesel_binds_horizon h WHERE h.namespace = '{namespace}')"
        ))
        .await?;
    connection
        .execute_durably(format!(
            "UPDATE {schema}diesel_binds_horizon SET unit = '{unit}', moved_at = {now} \
             WHERE namespace = '{namespace}' AND unit < '{unit}' AND moved_at <= {now} - {HORIZON_DELAY} \
             AND EXISTS (SELECT 1 FROM {schema}diesel_binds_meta m WHERE m.holder_id = '{holder}')"
        ))
        .await?;
    Ok(())
}
