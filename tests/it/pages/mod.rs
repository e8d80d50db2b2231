//! The pages of the documentation: each block of Rust in `docs` is part of a file here, or of an example, and so is compiled;
//! most are run as well. A page shows no line that it has to hide.

#![allow(
    unreachable_pub,
    dead_code,
    reason = "a page shows what an application has"
)]

mod errors;
mod excerpts;
mod links;
mod migrating;
mod observing;
mod readme;
mod sandboxes;
mod services;
mod sessions;
mod units;
