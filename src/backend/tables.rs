//! The tables of the protocol: the id of their database, and checks that the commit can rely on them.
//!
//! Each adapter asks its server in `tables`, in the statement that reads the id. One more column is null if all is
//! well. Otherwise it contains a table, a word and a detail, with a colon between each.

#[cfg(any(feature = "mysql", feature = "postgres"))]
use diesel::sql_types::Bool;
use diesel::sql_types::{Integer, Nullable, Text};
use diesel::{QueryResult, QueryableByName};

use crate::commit::Fault;
use crate::gid::DatabaseId;

/// The version of the tables that this library writes.
const TABLES_VERSION: i32 = 2;

/// The one row of `diesel_binds_meta`, and the server's findings on the tables.
#[derive(QueryableByName)]
pub(super) struct Meta {
    #[diesel(sql_type = Text)]
    holder_id: String,
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Nullable<Text>)]
    unfit: Option<String>,
}

#[cfg(feature = "sqlite")]
impl Meta {
    /// Returns the row of fit tables.
    pub(super) fn fit(holder_id: String, version: i32) -> Self {
        Self {
            holder_id,
            version,
            unfit: None,
        }
    }
}

/// The answer to the question whether the tables are there.
#[cfg(any(feature = "mysql", feature = "postgres"))]
#[derive(QueryableByName)]
pub(super) struct Found {
    #[diesel(sql_type = Bool)]
    pub(super) found: bool,
}

/// Returns the query for the row of `diesel_binds_meta` and for the finding of `unfit`. The query fails if a table of a
/// holder or one of its columns is missing. It locks nothing in them.
pub(super) fn meta(schema: &str, unfit: &str) -> String {
    // Each column is qualified by its table, so that an error about a missing column names the table.
    let columns = |table: &str, columns: &[&str]| {
        let columns: Vec<String> = columns.iter().map(|c| format!("{table}.{c}")).collect();
        columns.join(", ")
    };
    format!(
        "SELECT holder_id, version, {unfit} AS unfit FROM {schema}diesel_binds_meta \
         WHERE NOT EXISTS (SELECT {} FROM {schema}diesel_binds_decision WHERE 1 = 0) \
         AND NOT EXISTS (SELECT {} FROM {schema}diesel_binds_horizon WHERE 1 = 0)",
        columns(
            "diesel_binds_decision",
            &["unit", "outcome", "participants", "namespace", "at"]
        ),
        columns("diesel_binds_horizon", &["namespace", "unit", "moved_at"]),
    )
}

/// Returns the id of the database.
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
        return Err(Fault::OtherVersion {
            found: row.version,
            expected: TABLES_VERSION,
        });
    }
    if let Some(found) = &row.unfit {
        return Err(unfit(found));
    }
    row.holder_id.trim().parse().map_err(Fault::InvalidId)
}

/// Returns whether an error is about a table of the protocol that is missing, or that the role may not use. The error
/// contains its name in any language of the server.
pub(crate) fn is_of_our_tables(error: &diesel::result::Error) -> bool {
    matches!(error, diesel::result::Error::DatabaseError(_, information)
        if information.message().contains("diesel_binds_"))
}

/// Converts a finding of a server to an error.
fn unfit(found: &str) -> Fault {
    let mut parts = found.splitn(3, ':');
    let mut next = || parts.next().unwrap_or_default().to_owned();
    let (table, word, detail) = (next(), next(), next());
    if word == "denied" {
        return Fault::Denied {
            table: table.into(),
            privilege: detail.into(),
        };
    }
    let made_anew = "make it anew by the migration of diesel-binds";
    let (reason, remedy) = match word.as_str() {
        "kind" if detail == "temporary" => (
            "a temporary table hides it".to_owned(),
            "drop the temporary table",
        ),
        "kind" => (format!("it is no plain table ({detail})"), made_anew),
        "engine" => (
            format!("its engine is {detail}, which does not commit together with the unit"),
            "`ALTER TABLE … ENGINE = InnoDB`",
        ),
        "unlogged" => (
            "it is unlogged, and a crash empties it".to_owned(),
            "`ALTER TABLE … SET LOGGED`",
        ),
        "security" => (
            "row-level security hides rows of it from this role".to_owned(),
            "`ALTER TABLE … DISABLE ROW LEVEL SECURITY`",
        ),
        "trigger" => (
            format!("its trigger `{detail}` may change rows as they are written"),
            "drop the trigger",
        ),
        "rule" => (
            format!("its rule `{detail}` may change rows as they are written"),
            "drop the rule",
        ),
        "inherited" => (
            format!("the table `{detail}` inherits from it, and its key does not hold there"),
            "`ALTER TABLE … NO INHERIT …`",
        ),
        "key" => (
            format!("no unique key on `{detail}` alone holds at once and for every row"),
            made_anew,
        ),
        "nullable" => (format!("`{detail}` may be null"), made_anew),
        "collation" => (
            format!("`{detail}` is not compared byte by byte"),
            made_anew,
        ),
        "generated" => (format!("`{detail}` is a generated column"), made_anew),
        "conflict" => (
            "one of its constraints has an `ON CONFLICT` clause, and rows vanish or go unwritten"
                .to_owned(),
            made_anew,
        ),
        _ => (format!("{word} {detail}"), made_anew),
    };
    Fault::UnfitTable {
        table: table.into(),
        reason: reason.into(),
        remedy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_colons_stays_whole_in_the_message() {
        let fault = unfit("diesel_binds_decision:trigger:a:b:c");
        assert_eq!(
            fault.to_string(),
            "the table `diesel_binds_decision` cannot guarantee the outcome of a commit: its trigger `a:b:c` may \
             change rows as they are written; drop the trigger"
        );
    }
}
