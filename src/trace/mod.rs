//! What observers hear of a unit: spans of it, of its transactions, of their statements and of the steps of its commit.
//!
//! Each has a target of its own (`diesel_binds::unit`, `::transaction`, `::statement`, `::commit`), so that a filter can
//! choose. `statement` turns the events of Diesel's instrumentation into spans, `text` keeps parameters out of them.

mod current;
mod statement;
mod text;
mod unit;

pub(crate) use self::current::CurrentTrace;
pub use self::statement::StatementSpans;
pub(crate) use self::statement::Transaction;
pub(crate) use self::unit::{Ending, Ends, Place, UnitContext, UnitTrace, commit_step};
