//! Encrypted connections: each mode against each certificate, and every kind of work on servers that take no others.

mod files;
mod found;
mod mysql;
mod postgres;
