//! What an observer hears of units: spans, their structure and fields, and nothing that is secret.

#[allow(dead_code, reason = "the tests of recovery use the rest")]
#[path = "../recovery/application.rs"]
mod application;
mod connections;
mod listener;
mod recovery;
mod spans;
#[path = "../suite/mod.rs"]
mod suite;
#[path = "../support/mod.rs"]
mod support;
mod tags;
