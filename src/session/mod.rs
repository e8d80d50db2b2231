//! The unit of work: a session begins a transaction on each bind that its queries need, and ends all of them together.
//!
//! A `core` holds a `slot` for each bind, or for several that share a connection. The first query on a bind puts a
//! `lease` into its slot (`enlist`). A `claim` is the right to use a lease; `target` and `run` bring queries to it. A
//! `session` has the core and two parts that the core cannot reach: the hooks of the unit, which borrow the session, and
//! the declared binds. At the `end`, the leases leave their slots and become the `participant`s of the commit.

// Files, each of which imports only from those before it: `abort`, `closure`, `deadline`, `lease`, `begin`,
// `participant`, `slot`, `outer`, `unit_options`, `core`, `terms`, `enlist`, `declared`, `options`, `claim`,
// `admit`, `unit_hooks`, `session`, `units`, `target`, `connection`, `run`, `rows`, `lent`, `hooks`, `end`, `commit`,
// `transaction`, `nested`, `savepoint`, `retry`.

mod abort;
mod admit;
mod begin;
mod claim;
mod closure;
mod commit;
mod connection;
mod core;
mod deadline;
mod declared;
mod end;
mod enlist;
mod hooks;
mod lease;
mod lent;
mod nested;
mod options;
mod outer;
mod participant;
mod retry;
mod rows;
mod run;
mod savepoint;
#[expect(clippy::module_inception, reason = "the file is named after its type")]
mod session;
mod slot;
mod target;
mod terms;
mod transaction;
mod unit_hooks;
mod unit_options;
mod units;

pub(crate) use self::claim::AsClaim;
pub use self::closure::{Work, WorkOnce};
pub use self::connection::BoundConnection;
pub(crate) use self::deadline::Deadline;
pub(crate) use self::lent::Lent;
pub use self::nested::Propagation;
pub use self::options::SessionOptions;
pub use self::outer::OuterConnection;
pub use self::retry::{Retried, Retry, Retrying};
pub use self::run::{Execute, Load, RunQueryDsl, SaveChangesDsl};
pub use self::session::Session;
pub(crate) use self::target::sealed;
pub use self::target::{On, Target};
pub use self::unit_hooks::HookOutput;
pub use self::units::Units;
