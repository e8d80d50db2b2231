//! SQL that all servers understand, and rows that all return.
//!
//! Every value put into a text is a key, a namespace or an id: of `[a-z0-9_-]`, so nothing needs escaping.

use diesel::sql_types::{Bool, Integer, Nullable, Text};
use diesel::{QueryResult, QueryableByName};

use crate::backend::Terms;
use crate::commit::{Decision, Fault, Outcome};
use crate::gid::{DatabaseId, Gid};

/// The version of the tables that this library writes.
const TABLES_VERSION: i32 = 1;

/// The name of the savepoint that marks the transaction of a unit, where a savepoint does.
pub(super) const MARKER: &str = "diesel_binds";

/// A comment that says what a transaction is for, with the keys of sqlcommenter, if it was asked for.
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

/// The one row of `diesel_binds_meta`.
#[derive(QueryableByName)]
pub(super) struct Meta {
    #[diesel(sql_type = Text)]
    holder_id: String,
    #[diesel(sql_type = Integer)]
    version: i32,
}

#[derive(QueryableByName)]
pub(super) struct OutcomeRow {
    #[diesel(sql_type = Nullable<Text>)]
    outcome: Option<String>,
    #[diesel(sql_type = Bool)]
    forgotten: bool,
}

/// The row of `diesel_binds_meta`. Fails where the tables of a holder are missing, and locks nothing in them.
pub(super) fn meta(schema: &str) -> String {
    format!(
        "SELECT holder_id, version FROM {schema}diesel_binds_meta \
         WHERE NOT EXISTS (SELECT namespace FROM {schema}diesel_binds_decision WHERE 1 = 0) \
         AND NOT EXISTS (SELECT unit FROM {schema}diesel_binds_horizon WHERE 1 = 0)"
    )
}

/// Makes sure that the database is the one that was to decide.
pub(super) fn verify_holder(rows: QueryResult<Vec<Meta>>, gid: &Gid) -> Result<(), Fault> {
    if database_id(rows)? == gid.holder_id {
        Ok(())
    } else {
        Err(Fault::Replaced)
    }
}

/// Whose database it is.
pub(super) fn database_id(rows: QueryResult<Vec<Meta>>) -> Result<DatabaseId, Fault> {
    let rows = rows.map_err(|error| {
        if is_of_our_tables(&error) {
            Fault::NotInstalled(error)
        } else {
            Fault::Refused(error)
        }
    })?;
    let [row] = rows.as_slice() else {
        return Err(Fault::NotInstalled(diesel::result::Error::NotFound));
    };
    if row.version != TABLES_VERSION {
        return Err(Fault::Foreign {
            found: row.version,
            expected: TABLES_VERSION,
        });
    }
    row.holder_id.trim().parse().map_err(Fault::ForeignId)
}

/// Whether one of our tables is missing, or not ours to use. Their names stand in the error whatever language the server
/// speaks.
pub(crate) fn is_of_our_tables(error: &diesel::result::Error) -> bool {
    matches!(error, diesel::result::Error::DatabaseError(_, information)
        if information.message().contains("diesel_binds_"))
}

/// Records that the unit commits.
///
/// The key of the row comes out of the table with the holder's id: where that is another one, or `condition` does
/// not hold, it is null, and the whole message fails.
pub(super) fn insert_decision(schema: &str, decision: &Decision, condition: &str) -> String {
    let Decision { gid, participants } = decision;
    let participants = participants
        .iter()
        .map(|(bind, id)| format!("{bind}@{id}"))
        .collect::<Vec<_>>()
        .join(" ");
    format!(
        "INSERT INTO {schema}diesel_binds_decision (unit, outcome, participants, namespace) VALUES (\
         (SELECT '{}' FROM {schema}diesel_binds_meta WHERE holder_id = '{}' AND {condition}), \
         'commit', '{participants}', '{}')",
        gid.unit, gid.holder_id, gid.namespace
    )
}

/// The row that keeps a late decision out. In the database that was to decide, and unless a decision may have been
/// there and deleted: both are looked at in the statement that inserts.
pub(super) fn fence_row(schema: &str, gid: &Gid) -> String {
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

/// How the unit ended, as the holder has it.
pub(super) fn outcome(schema: &str, gid: &Gid) -> String {
    format!(
        "SELECT (SELECT outcome FROM {schema}diesel_binds_decision WHERE unit = '{}') AS outcome, {} AS forgotten",
        gid.unit,
        is_forgotten(schema, gid)
    )
}

/// Whether a record of the unit may have been deleted.
fn is_forgotten(schema: &str, gid: &Gid) -> String {
    format!(
        "EXISTS (SELECT 1 FROM {schema}diesel_binds_horizon h WHERE h.namespace = '{}' AND h.unit >= '{}')",
        gid.namespace, gid.unit
    )
}

/// The outcome in the row, if there is one.
pub(super) fn recorded(rows: QueryResult<OutcomeRow>) -> Result<Option<Outcome>, Fault> {
    let row = rows.map_err(Fault::Lost)?;
    match row.outcome.as_deref().map(read) {
        None if row.forgotten => Err(Fault::Forgotten),
        outcome => Ok(outcome),
    }
}

fn read(outcome: &str) -> Outcome {
    if outcome.trim() == "commit" {
        Outcome::Commit
    } else {
        Outcome::Abort
    }
}

/// The outcome that was forced on a unit.
#[cfg(any(feature = "mysql", feature = "postgres"))]
#[derive(QueryableByName)]
pub(super) struct ForcedRow {
    #[diesel(sql_type = Text)]
    outcome: String,
}

#[cfg(any(feature = "mysql", feature = "postgres"))]
impl ForcedRow {
    pub(super) fn outcome(&self) -> Outcome {
        read(&self.outcome)
    }
}

#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(super) fn forced(schema: &str, unit: crate::gid::UnitId) -> String {
    format!("SELECT outcome FROM {schema}diesel_binds_forced WHERE unit = '{unit}'")
}

/// Records what an operator forces. The reason is the only parameter.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(super) fn force_row(schema: &str, gid: &Gid, outcome: Outcome, parameter: &str) -> String {
    let outcome = match outcome {
        Outcome::Commit => "commit",
        Outcome::Abort => "abort",
    };
    format!(
        "INTO {schema}diesel_binds_forced (unit, gid, outcome, reason) VALUES ('{}', '{gid}', '{outcome}', {parameter})",
        gid.unit
    )
}

/// Undoes a unit that is a savepoint in a transaction of somebody else.
pub(super) fn undo_joined() -> String {
    format!("ROLLBACK TO SAVEPOINT {MARKER}; RELEASE SAVEPOINT {MARKER}")
}

/// The name of a savepoint of the session.
pub(super) fn savepoint(depth: usize) -> String {
    format!("diesel_binds_{depth}")
}

/// Makes the savepoints that were open in the session when the transaction began.
pub(super) fn open_savepoints(count: usize) -> String {
    (1..=count)
        .map(|depth| format!("; SAVEPOINT {}", savepoint(depth)))
        .collect()
}

/// One step of a savepoint of the session.
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
