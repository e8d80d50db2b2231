//! What a unit leaves on its connection, and what of ours the statements of an application can see.

mod functions;
mod left;
mod options;
mod pool;
mod seen;
mod stale;
