//! SQL that all servers understand, and rows that all return.

#[cfg(any(feature = "mysql", feature = "postgres"))]
use diesel::query_builder::SqlQuery;
#[cfg(any(feature = "mysql", feature = "postgres"))]
use diesel::sql_query;
use diesel::sql_types::{Bool, Nullable, Text};
use diesel::{QueryResult, QueryableByName};
#[cfg(any(feature = "mysql", feature = "postgres"))]
use diesel_async::{AsyncConnection, RunQueryDsl as _, methods::LoadQuery};

use crate::backend::Terms;
use crate::backend::message::{Part, display_parts, sql};
#[cfg(any(feature = "mysql", feature = "postgres"))]
use crate::commit::Decision;
use crate::commit::{Fault, Outcome};
use crate::gid::{DatabaseId, Gid, UnitId};

/// The name of a savepoint that marks the transaction of a unit, on servers where the marker is a savepoint. The name
/// is unique to the unit, so no statement of the application rolls back to it, or sets it in another transaction.
pub(super) struct Marker {
    unit: UnitId,
    suffix: &'static str,
}

/// The prefix of the names of markers.
const MARKER: &str = "diesel_binds_unit_";

pub(super) fn marker(terms: &Terms) -> Marker {
    Marker {
        unit: terms.unit,
        suffix: "",
    }
}

/// Returns the second marker, used up last in a message that ends the transaction. Releasing a savepoint also releases
/// those set after it, so this one is set before the other.
#[cfg(feature = "mysql")]
pub(super) fn last_marker(terms: &Terms) -> Marker {
    Marker {
        unit: terms.unit,
        suffix: "_last",
    }
}

/// Returns whether an error is about a marker. The error contains its name in any language of the server.
#[cfg(any(feature = "mysql", feature = "sqlite"))]
pub(super) fn mentions_marker(error: &diesel::result::Error) -> bool {
    matches!(error, diesel::result::Error::DatabaseError(_, information)
        if information.message().contains(MARKER))
}

impl Part for Marker {
    fn append_to(&self, message: &mut String) {
        sql! { message; MARKER, self.unit, self.suffix }
    }
}

display_parts!(Marker);

/// Returns a comment that identifies the unit of a transaction, with the keys of sqlcommenter. Empty unless it is asked
/// for.
pub(super) fn tag(terms: &Terms) -> String {
    if !terms.tagged {
        return String::new();
    }
    let Terms {
        namespace,
        bind,
        unit,
        ..
    } = terms;
    format!("/*application='{namespace}',bind='{bind}',unit='{unit}'*/ ")
}

/// The outcome of a unit, and the id of the database that recorded it.
#[derive(QueryableByName)]
pub(super) struct OutcomeRow {
    #[diesel(sql_type = Text)]
    holder_id: String,
    #[diesel(sql_type = Nullable<Text>)]
    outcome: Option<String>,
    #[diesel(sql_type = Bool)]
    forgotten: bool,
}

/// Records that the unit commits.
///
/// The key of the row is read from the table with the holder's id. The key is null, and the whole message fails, in
/// three cases: the table has another id, a record of the unit may have been deleted, or `condition` does not hold. A
/// snapshot may be older than the horizon; only the unique key is checked outside of snapshots.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(super) fn insert_decision(schema: &str, decision: &Decision, condition: impl Part) -> String {
    let Decision { gid, participants } = decision;
    sql! {
        "INSERT INTO ", schema, "diesel_binds_decision (unit, outcome, participants, namespace) VALUES ((SELECT '",
        gid.unit, "' FROM ", schema, "diesel_binds_meta WHERE holder_id = '", gid.holder_id, "' AND ", condition,
        " AND NOT ", is_forgotten(schema, gid), "), 'commit', '", Participants(participants), "', '", gid.namespace, "')",
    }
}

/// The other participants of a decision, as they are recorded.
pub(super) struct Participants<'d>(pub(super) &'d [(&'static str, DatabaseId)]);

impl Part for Participants<'_> {
    fn append_to(&self, message: &mut String) {
        for (index, (bind, id)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { " " };
            sql! { message; separator, bind, "@", id }
        }
    }
}

/// Returns the condition that the row of the decision is there as it was written. A trigger or rule may drop or change
/// it without an error, and may have been created since the tables were checked.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(super) fn decision_stands(schema: &str, decision: &Decision) -> String {
    sql! {
        "EXISTS (SELECT 1 FROM ", schema, "diesel_binds_decision WHERE unit = '", decision.gid.unit,
        "' AND outcome = 'commit' AND namespace = '", decision.gid.namespace, "')",
    }
}

/// Returns the row of a fence. It is inserted only in the holder's database, and only if no decision can have been
/// there and deleted. The inserting statement checks both.
pub(crate) fn fence_row(schema: &str, gid: &Gid) -> String {
    format!(
        "INTO {schema}diesel_binds_decision (unit, outcome, participants, namespace) \
         SELECT '{}', 'abort', '', '{}' FROM {schema}diesel_binds_meta \
         WHERE holder_id = '{}' AND NOT {}",
        gid.unit,
        gid.namespace,
        gid.holder_id,
        is_forgotten(schema, gid)
    )
}

/// Returns the row of a fence for a unit that an operator forces. It is also inserted if a record may have been
/// deleted: a row under its key is better evidence than any horizon.
pub(super) fn forced_row(schema: &str, gid: &Gid) -> String {
    format!(
        "INTO {schema}diesel_binds_decision (unit, outcome, participants, namespace) \
         SELECT '{}', 'forced', '', '{}' FROM {schema}diesel_binds_meta WHERE holder_id = '{}'",
        gid.unit, gid.namespace, gid.holder_id
    )
}

/// Returns the query for the outcome that the holder recorded, and for the id of the database. A proxy may have sent
/// the previous statement to another database.
pub(super) fn outcome(schema: &str, gid: &Gid) -> String {
    format!(
        "SELECT holder_id, (SELECT outcome FROM {schema}diesel_binds_decision WHERE unit = '{}') AS outcome, \
         {} AS forgotten FROM {schema}diesel_binds_meta",
        gid.unit,
        is_forgotten(schema, gid)
    )
}

/// Returns the condition that a record of the unit may have been deleted.
fn is_forgotten(schema: &str, gid: &Gid) -> String {
    is_behind_horizon(schema, &gid.namespace, gid.unit)
}

/// Returns the condition that a unit of a namespace is behind the horizon.
pub(super) fn is_behind_horizon(schema: &str, namespace: &str, unit: UnitId) -> String {
    sql! {
        "EXISTS (SELECT 1 FROM ", schema, "diesel_binds_horizon h WHERE h.namespace = '", namespace,
        "' AND h.unit >= '", unit, "')",
    }
}

/// Returns the outcome in the row, if there is one. Fails if the row comes from another database than the holder's.
pub(super) fn recorded(rows: QueryResult<OutcomeRow>, gid: &Gid) -> Result<Option<Outcome>, Fault> {
    let row = rows.map_err(Fault::Lost)?;
    if row.holder_id.trim().parse() != Ok(gid.holder_id) {
        return Err(Fault::Replaced);
    }
    match row.outcome.as_deref().map(str::trim) {
        Some("commit") => Ok(Some(Outcome::Committed)),
        Some("abort") => Ok(Some(Outcome::RolledBack)),
        Some(_) => Err(Fault::Forced),
        None if row.forgotten => Err(Fault::Forgotten),
        None => Ok(None),
    }
}

/// The row with the outcome that was forced on a unit.
#[cfg(any(feature = "mysql", feature = "postgres"))]
#[derive(QueryableByName)]
pub(super) struct ForcedRow {
    #[diesel(sql_type = Text)]
    outcome: String,
}

/// Reads the outcome that an operator has forced on a unit.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(super) async fn forced<C>(
    connection: &mut C,
    schema: &str,
    unit: UnitId,
) -> QueryResult<Option<Outcome>>
where
    C: AsyncConnection,
    for<'q> SqlQuery: LoadQuery<'q, C, ForcedRow>,
{
    let query = format!("SELECT outcome FROM {schema}diesel_binds_forced WHERE unit = '{unit}'");
    let rows: Vec<ForcedRow> = sql_query(query).load(connection).await?;
    Ok(rows.into_iter().next().map(|row| match row.outcome.trim() {
        "commit" => Outcome::Committed,
        _ => Outcome::RolledBack,
    }))
}

/// Returns the row that records a forced outcome. The reason is the only parameter.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(super) fn force_row(schema: &str, gid: &Gid, outcome: Outcome, parameter: &str) -> String {
    let outcome = match outcome {
        Outcome::Committed => "commit",
        Outcome::RolledBack => "abort",
    };
    format!(
        "INTO {schema}diesel_binds_forced (unit, gid, outcome, reason) VALUES ('{}', '{gid}', '{outcome}', {parameter})",
        gid.unit
    )
}

/// Undoes a unit that is a savepoint in an outer transaction.
pub(super) fn undo_joined(terms: &Terms) -> String {
    let marker = marker(terms);
    format!("ROLLBACK TO SAVEPOINT {marker}; RELEASE SAVEPOINT {marker}")
}

/// Returns the name of a savepoint of the session.
pub(super) fn savepoint(depth: usize) -> String {
    format!("diesel_binds_{depth}")
}

/// Sets the savepoints that were open in the session when the transaction began.
pub(super) fn open_savepoints(count: usize) -> String {
    (1..=count)
        .map(|depth| format!("; SAVEPOINT {}", savepoint(depth)))
        .collect()
}

/// Returns the statements for one step of a savepoint of the session.
pub(super) fn savepoint_step(step: crate::backend::SavepointStep, depth: usize) -> String {
    use crate::backend::SavepointStep;

    let name = savepoint(depth);
    match step {
        SavepointStep::Set => format!("SAVEPOINT {name}"),
        SavepointStep::Release => format!("RELEASE SAVEPOINT {name}"),
        SavepointStep::RollBack => {
            format!("ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}")
        }
    }
}
