//! The parts of an [`Error`] and of a [`CommitError`](crate::CommitError): why a pool gave no connection, why a
//! unit can only be rolled back, and why a step of a commit failed.

// Files, each of which imports only from those before it: `abort`, `pool`, `waiting`, `error`.

mod abort;
#[expect(clippy::module_inception, reason = "the file is named after its type")]
pub(crate) mod error;
pub(crate) mod pool;
mod waiting;

pub use self::abort::AbortReason;
pub(crate) use self::error::Error;
pub(crate) use self::pool::BoxError;
pub use self::pool::PoolError;
pub use self::waiting::Waiting;
pub use crate::commit::{Fault, Partial};
