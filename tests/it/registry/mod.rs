//! The registry: the promises of `build()`, `check()`, `install()` and `close()`, and binds that share a connection.

mod attach;
mod attach_refused;
pub(crate) mod binds;
mod build;
mod check;
mod close;
mod environment;
mod install;
mod manifest;
mod passwords;
mod printed;
mod shared_with;
mod tls;
mod urls;
