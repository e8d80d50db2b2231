//! The registry: what `build()`, `check()`, `install()` and `close()` promise, and binds that share a connection.

mod suite;
mod support;

#[path = "registry/attach.rs"]
mod attach;
#[path = "registry/attach_refused.rs"]
mod attach_refused;
#[path = "registry/binds.rs"]
mod binds;
#[path = "registry/build.rs"]
mod build;
#[path = "registry/check.rs"]
mod check;
#[path = "registry/close.rs"]
mod close;
#[path = "registry/environment.rs"]
mod environment;
#[path = "registry/install.rs"]
mod install;
#[path = "registry/manifest.rs"]
mod manifest;
#[path = "registry/passwords.rs"]
mod passwords;
#[path = "registry/printed.rs"]
mod printed;
#[path = "registry/same_as.rs"]
mod same_as;
