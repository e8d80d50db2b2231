//! The commit of a unit: its steps and their order, apart from the statements that each server needs for them.
//!
//! `protocol` decides, without I/O or clock: from the replies to the last steps follow the next ones. `coordinator`
//! carries these out on the participants, through the port [`Participant`]. `observed` reports the commit to the
//! traces. `conflict` recognizes the errors after which a unit may run again. `outcome` has the results for the caller,
//! `fault` the failures of a step, `hook` those of a hook after the commit.
//!
//! `without_protocol` has the ends that need no protocol, `outer` the ends within outer transactions. `inject` makes
//! steps fail, in tests. `docs/commit.md` argues why the commit is atomic.

// Files, each of which imports only from those before it: `conflict`, `sandbox_error`, `fault`, `hook`, `protocol`,
// `inject`, `participant`, `commit_error`, `outcome`, `parameters`, `coordinator`, `without_protocol`, `outer`,
// `observed`.

mod commit_error;
mod conflict;
mod coordinator;
mod fault;
mod hook;
#[cfg(feature = "testing")]
mod inject;
mod observed;
mod outcome;
mod outer;
mod parameters;
mod participant;
mod protocol;
#[cfg(feature = "testing")]
mod sandbox_error;
mod without_protocol;

pub use self::commit_error::{CommitError, Partial};
pub(crate) use self::conflict::is_conflict;
pub use self::fault::Fault;
pub use self::hook::HookFailure;
#[cfg(feature = "testing")]
pub use self::inject::{Effect, FaultPlan, Hook, InvalidPoint, Moment, Point};
pub(crate) use self::observed::{commit, release, roll_back};
pub use self::outcome::{Commit, Committed, Released};
pub(crate) use self::parameters::CommitParameters;
pub(crate) use self::participant::{Asked, Decision, Identified, Undone, are_distinct};
pub(crate) use self::participant::{LoneCommitError, Participant, Profile};
pub use self::protocol::Outcome;
#[cfg(feature = "testing")]
pub use self::protocol::Step;
#[cfg(feature = "testing")]
pub use self::sandbox_error::SandboxError;

/// The types that the exploration of commit and recovery together uses.
#[cfg(test)]
pub(crate) mod proof {
    pub(crate) use super::participant::Undone;
    pub(crate) use super::protocol::{Conclusion, Member, Next, Protocol, Reply, Step};
}
