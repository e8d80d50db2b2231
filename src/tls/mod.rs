//! The encryption of connections: what a URL says about it, the mistakes in that, and the client that carries it out.
//!
//! `parameters` reads a URL, `setting` checks what it found, and with the feature `tls` makes a `client` of the `files` that it
//! names. `verifier` has the weaker verifications of a server.

// The URL of a backend that is not built in is never read.
#![cfg_attr(
    not(all(feature = "postgres", feature = "mysql")),
    allow(dead_code, unused_imports)
)]

// Files, each of which imports only from those before it: `mode`, `problem`, `parameters`, `provider`, `files`,
// `verifier`, `client`, `setting`.

#[cfg(feature = "tls")]
mod client;
#[cfg(feature = "tls")]
mod files;
mod mode;
mod parameters;
mod problem;
#[cfg(feature = "tls")]
mod provider;
mod setting;
#[cfg(feature = "tls")]
mod verifier;

#[cfg(feature = "tls")]
pub(crate) use self::client::{Material, TlsClient};
pub(crate) use self::mode::TlsMode;
pub(crate) use self::parameters::{of_mysql, of_postgres};
pub use self::problem::TlsProblem;
#[cfg(all(feature = "tls", feature = "mysql"))]
pub(crate) use self::provider::install;
pub(crate) use self::setting::{Host, TlsSetting};
