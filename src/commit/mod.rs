//! The commit of a unit: what to do and in which order, apart from how each server does it.
//!
//! `protocol` decides, without I/O or clock: it takes what happened and says what to do next. `coordinator` carries
//! that out on the participants, through the port [`Participant`]; `observed` tells the traces of it. `outcome` is what
//! the caller gets, `fault` what can go wrong in a step, `hook` in a hook after it. `apart` ends what needs no protocol, `joined` what is
//! in the transactions of others. `inject` makes it go wrong, in tests. `docs/commit.md` argues why this is atomic.

// Files, each of which imports only from those before it: `fault`, `hook`, `protocol`, `inject`, `participant`,
// `outcome`, `coordinator`, `apart`, `joined`, `observed`.

mod apart;
mod coordinator;
mod fault;
mod hook;
#[cfg(feature = "testing")]
mod inject;
mod joined;
mod observed;
mod outcome;
mod participant;
mod protocol;

pub(crate) use self::coordinator::Orders;
pub use self::fault::Fault;
pub use self::hook::HookFailure;
#[cfg(feature = "testing")]
pub use self::inject::{Effect, FaultPlan, Hook, InvalidPoint, Moment, Point, Step};
pub(crate) use self::observed::{best_effort, commit, release, roll_back};
pub use self::outcome::{CommitError, Committed, Ending, Partial};
pub(crate) use self::participant::{Aloneness, Participant, Profile};
pub(crate) use self::participant::{Asked, Decision, Identified, Undone, are_apart};
pub use self::protocol::Outcome;

/// What the exploration of commit and recovery together drives.
#[cfg(test)]
pub(crate) mod proof {
    pub(crate) use super::participant::Undone;
    pub(crate) use super::protocol::{Command, Conclusion, Member, Next, Protocol, Reply};
}
