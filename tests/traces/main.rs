//! What an observer hears of units: spans, their structure and fields, and nothing that is secret.

mod connections;
mod listener;
mod spans;
#[path = "../suite/mod.rs"]
mod suite;
#[path = "../support/mod.rs"]
mod support;
mod tags;
