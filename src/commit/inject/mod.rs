//! The injection of faults at named points of a commit, only with the feature `testing`.
//!
//! `point` names the points, `plan` has the effects at them. The coordinator carries these out, in `injected`.

// Files, each of which imports only from those before it: `point`, `plan`.

mod plan;
mod point;

pub use self::plan::{Effect, FaultPlan, Hook};
pub use self::point::{InvalidPoint, Moment, Point};
