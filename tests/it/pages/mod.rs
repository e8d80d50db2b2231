//! The pages of the documentation: their code is compiled here, and most of it is run.

#![allow(
    unreachable_pub,
    dead_code,
    reason = "a page shows what an application has"
)]

mod readme;
mod sessions;
