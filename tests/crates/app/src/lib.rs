//! Models of the tables of another crate, with the library under another name.

pub mod generic;
pub mod models;
pub mod own;
