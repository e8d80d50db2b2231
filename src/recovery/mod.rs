//! Recovery: finishing the units that another process, or an earlier one, left prepared.
//!
//! `database` is the port to what it works on. `judge` decides, without I/O, what may be done with a branch that a
//! server lists; `pass` looks at all databases and does it, for a `purpose`; `report` says what was done and what was left alone;
//! `events` and `observed` tell observers; `worker` makes passes again and again. `retention` decides, without I/O, when the record of a decision may be deleted, and
//! `forget` does that. `force` is what an operator does who decides in the place of a lost holder.

// Files, each of which imports only from those before it: `database`, `purpose`, `report`, `judge`, `events`, `force`,
// `retention`, `forget`, `pass`, `observed`, `worker`.

mod database;
mod events;
mod force;
mod forget;
mod judge;
mod observed;
mod pass;
#[cfg(test)]
mod proof;
mod purpose;
mod report;
mod retention;
mod worker;

use diesel_binds_derive::ErrorDebug;

use crate::commit::Fault;
use crate::gid::Gid;

pub(crate) use self::database::{Database, Listing, Look, Records, Scope};
pub(crate) use self::force::force;
pub use self::force::{ForceError, ForceOptions};
pub(crate) use self::observed::recover;
pub(crate) use self::purpose::{GRACE, Purpose};
pub use self::report::{InDoubtBranch, Left, Recovered, RecoveryReport};
pub(crate) use self::worker::Worker;

/// A holder could not be asked for the outcome of a unit.
#[derive(ErrorDebug, thiserror::Error)]
#[error("`{holder}` could not be asked for the outcome of {gid}; nothing was changed")]
pub struct RecoveryError {
    /// The key of the holder.
    pub holder: String,
    /// The unit.
    pub gid: Gid,
    /// Why.
    pub source: Fault,
}

impl RecoveryError {
    pub(crate) fn new(gid: &Gid, source: Fault) -> Self {
        Self {
            holder: gid.holder().into(),
            gid: gid.clone(),
            source,
        }
    }
}
