//! The command line, run as a user runs it: the real program, in the folder of a project, on real databases.

#[path = "../support/mod.rs"]
mod support;

mod doctor;
mod doubt;
mod project;
mod usage;
