//! The record that a holder keeps of a unit that committed, as its table has it.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Nullable, Text};

use crate::gid::{DatabaseId, MAX_KEY, UnitId, is_name};

/// The clock of a server, in its SQL: seconds since 1970, as a whole number.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The expression for the current time.
    pub now: &'static str,
    /// The expression for the column `at` of a record.
    pub at: &'static str,
}

/// The record of a committed unit, as it is in the table.
#[derive(Debug, QueryableByName)]
pub struct RecordRow {
    #[diesel(sql_type = Text)]
    unit: String,
    #[diesel(sql_type = Text)]
    participants: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(super) age: Option<i64>,
}

/// The record of a committed unit.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) unit: UnitId,
    /// The participants that prepared: the keys of their binds, and the ids of their databases.
    pub(crate) participants: Vec<(String, DatabaseId)>,
    pub(crate) age: Duration,
}

impl RecordRow {
    pub(super) fn read(self) -> Option<Record> {
        let participants = self.participants.split_whitespace().map(|participant| {
            let (bind, id) = participant.split_once('@')?;
            is_name(bind, MAX_KEY).then_some((bind.to_owned(), id.parse().ok()?))
        });
        Some(Record {
            unit: self.unit.trim().parse().ok()?,
            participants: participants.collect::<Option<_>>()?,
            age: Duration::from_secs(self.age.and_then(|age| age.try_into().ok()).unwrap_or(0)),
        })
    }
}
