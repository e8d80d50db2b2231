//! The reports and errors of [`Recovery`](crate::Recovery), which finishes the units that another process, or an earlier
//! one, left prepared.

// `database` is the port to the databases. `judge` decides, without I/O, how a listed branch may be treated. `pass`
// lists all databases and carries that out, for a `purpose`, and `worker` repeats passes. `report` has the results,
// and `events` and `observed` report to observers. `retention` decides, without I/O, when the record of a decision may
// be deleted, and `forget` deletes it. `force` lets an operator decide in the place of a lost holder, which `unreached`
// tells from one that refuses the login.
//
// Files, each of which imports only from those before it: `database`, `purpose`, `report`, `judge`, `events`, `unreached`,
// `force`, `retention`, `forget`, `pass`, `observed`, `worker`.

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
mod unreached;
mod worker;

use diesel_binds_derive::ErrorDebug;

use crate::commit::Fault;
use crate::gid::Gid;

pub use crate::commit::Outcome;
pub use crate::gid::{DatabaseId, InvalidGid};

pub(crate) use self::database::{Database, IdentifiedListing, Listing, Records, RecoveryScope};
pub(crate) use self::force::force;
pub use self::force::{ForceError, ForceOptions};
pub(crate) use self::observed::recover;
pub(crate) use self::purpose::{GRACE, Purpose};
pub use self::report::{InDoubtBranch, InDoubtReason, Recovered, RecoveryReport};
pub(crate) use self::worker::Worker;

/// A holder could not be asked for the outcome of a unit.
#[derive(ErrorDebug, thiserror::Error)]
#[error("`{holder}` could not be asked for the outcome of {gid}; nothing was changed")]
pub struct RecoveryError {
    /// The key of the holder.
    pub holder: String,
    /// The unit.
    pub gid: Gid,
    /// The reason.
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
