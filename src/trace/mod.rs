//! Spans of statements on a connection that the application opened itself.

// The spans and metrics for observers: of units, their transactions and statements, the steps of their commits, and
// passes of recovery.
//
// Each kind of span has a target of its own (`diesel_binds::unit`, `::transaction`, `::statement`, `::commit`,
// `::recovery`), so that a filter can choose. With the feature `metrics`, units, statements, pools and passes are also
// measured. `statement` turns the events of Diesel's instrumentation into spans, `text` keeps parameters out of them,
// `words` has the words of both.
//
// Files, each of which imports only from those before it: `log`, `text`, `watch`, `words`, `metrics`, `no_metrics`,
// `recovery`, `unit`, `current`, `statement`.

mod current;
#[cfg(feature = "testing")]
mod log;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(not(feature = "metrics"))]
#[path = "no_metrics.rs"]
mod metrics;
pub(crate) mod recovery;
mod statement;
mod text;
mod unit;
mod watch;
mod words;

pub(crate) use self::current::CurrentTrace;
#[cfg(feature = "testing")]
pub(crate) use self::log::QueryLog;
pub(crate) use self::metrics::{
    PoolMetrics, Stopwatch, describe as describe_metrics, in_doubt, passed,
};
#[cfg(feature = "mysql")]
pub(crate) use self::statement::REST_OF_REPLY;
pub use self::statement::StatementSpans;
pub(crate) use self::statement::Transaction;
pub(crate) use self::unit::{UnitContext, UnitEndTrace, UnitTrace, commit_step};
pub(crate) use self::watch::{Counted, Watch};
pub(crate) use self::words::{PassResult, ServerAttributes, UnitResult};

/// The optional information for observers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TraceOptions {
    /// The spans of statements show the values of parameters.
    pub(crate) parameters: bool,
    /// Transactions begin with a comment for the observers of a server.
    pub(crate) tags: bool,
}
