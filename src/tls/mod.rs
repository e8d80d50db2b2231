//! The encryption of connections: what a URL says about it, and the mistakes in that.
//!
//! `parameters` reads a URL, and `setting` checks what it found.

// The URL of a backend that is not built in is never read.
#![cfg_attr(
    not(all(feature = "postgres", feature = "mysql")),
    allow(dead_code, unused_imports)
)]

// Files, each of which imports only from those before it: `mode`, `problem`, `parameters`, `setting`.

mod mode;
mod parameters;
mod problem;
mod setting;

pub(crate) use self::mode::TlsMode;
pub(crate) use self::parameters::{of_mysql, of_postgres};
pub use self::problem::TlsProblem;
pub(crate) use self::setting::{Host, TlsSetting};
