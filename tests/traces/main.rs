//! The spans of units: their structure and fields, and no secret in them.
//!
//! The test is a program of its own, because its subscriber is that of the whole program.

mod connections;
mod listener;
mod migrations;
mod recovery;
mod spans;
mod tags;
