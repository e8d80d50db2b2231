//! What an observer hears of units: spans, their structure and fields, and nothing that is secret.
//!
//! A test program of its own: the subscriber is that of the whole program.

mod connections;
mod listener;
mod migrations;
mod recovery;
mod spans;
mod tags;
