//! State that a unit leaves on its connection, and the parts of the library that statements of an application can see.

mod functions;
mod idle;
mod kept;
mod left;
mod opening;
mod options;
pub(crate) mod pool;
mod seen;
mod stale;
mod useless;
