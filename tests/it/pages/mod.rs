//! The pages of the documentation. Each block of Rust in `docs` is part of a file here, or of an example, and so is
//! compiled. Most are run as well. No page has hidden lines.

#![allow(
    unreachable_pub,
    dead_code,
    reason = "a page shows code of an application"
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
