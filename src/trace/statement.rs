//! The spans of statements, made from the events of Diesel's instrumentation.

use std::fmt;
use std::sync::Arc;

use diesel::connection::{DebugQuery, Instrumentation, InstrumentationEvent};
use parking_lot::Mutex;
use tracing::field::Empty;
use tracing::{Level, Span};

use crate::trace::text::Text;
use crate::trace::unit::UnitContext;
use crate::trace::watch::Watch;
use crate::trace::words::{ServerAttributes, error_type, status_code};

/// The first words of a query that reads the rest of a reply and is never sent. Such a query has no span.
pub(crate) const REST_OF_REPLY: &str = "/* diesel_binds: the rest of a reply */ ";

/// The largest number of running statements on one connection. Above it, the oldest is dropped: its reply was never
/// read.
const MOST_RUNNING: usize = 16;

/// An instrumentation that makes a span of each statement that a session runs on its connection.
///
/// Sessions that need it set it on connections of their pools that have no instrumentation. A connection that already
/// has an instrumentation keeps that one, and its statements have no spans. To have both, wrap your instrumentation:
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # mod example {
/// use diesel::connection::InstrumentationEvent;
/// use diesel_binds::trace::StatementSpans;
/// use diesel_binds::AsyncSqliteConnection;
///
/// fn set_up(connection: &mut AsyncSqliteConnection) {
///     use diesel_async::AsyncConnection as _;
///     connection.set_instrumentation(StatementSpans::over(
///         |event: InstrumentationEvent<'_>| println!("{event:?}"),
///     ));
/// }
/// # }
/// ```
///
/// Outside of units, it only passes the events on to that instrumentation.
#[derive(Default)]
pub struct StatementSpans {
    over: Option<Box<dyn Instrumentation>>,
    current: CurrentTransaction,
    running: Vec<Running>,
    watch: Arc<Watch>,
    #[cfg(feature = "testing")]
    log: Option<Arc<crate::trace::QueryLog>>,
}

/// The transaction that a connection is in now.
type CurrentTransaction = Arc<Mutex<Option<Arc<StatementContext>>>>;

/// The information about the statements of a transaction.
#[derive(Debug)]
struct StatementContext {
    unit: UnitContext,
    span: Span,
    bind: &'static str,
    system: &'static str,
    database: String,
}

/// A statement whose reply was not read yet.
struct Running {
    sql: String,
    system: &'static str,
    span: Span,
}

impl StatementSpans {
    /// Wraps an instrumentation: creates spans of statements, and passes all events on to it.
    pub fn over(instrumentation: impl Instrumentation) -> Self {
        Self {
            over: Some(Box::new(instrumentation)),
            ..Self::default()
        }
    }

    /// Notes the texts of statements as well.
    #[cfg(feature = "testing")]
    pub(crate) fn log(&mut self, log: &Arc<crate::trace::QueryLog>) {
        self.log = Some(Arc::clone(log));
    }

    /// Returns the counter of the statements that may end a transaction.
    pub(crate) fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }

    fn start(&mut self, query: &dyn DebugQuery) {
        // The counts matter only while a session holds the watch. A statement that is never sent ends nothing.
        if Arc::strong_count(&self.watch) > 1 && !is_rest_of_reply(query) {
            self.watch.note(query);
        }
        #[cfg(feature = "testing")]
        if let Some(log) = self.log.as_ref().filter(|log| log.is_active()) {
            log.note(Text::of(query, false).sql);
        }
        let transaction = self.current.lock().clone();
        let Some(context) = transaction else {
            self.running.clear();
            return;
        };
        if !observes_statements() {
            return;
        }
        let text = Text::of(query, context.unit.parameters);
        if text.sql.starts_with(REST_OF_REPLY) {
            return;
        }
        let operation = text.operation();
        // A text without parameters may contain values.
        let shows_text = text.is_parametrized || context.unit.parameters;
        let current = Span::current();
        let span = tracing::debug_span!(
            target: "diesel_binds::statement",
            parent: context.unit.innermost(&current, &context.span),
            "statement",
            otel.kind = "client",
            otel.name = operation,
            bind = context.bind,
            unit = %context.unit.unit,
            db.system.name = context.system,
            db.namespace = context.database,
            db.operation.name = operation,
            db.query.text = shows_text.then_some(text.sql.as_str()),
            db.query.parameters = text.parameters.as_deref(),
            db.response.status_code = Empty,
            error.type = Empty,
            otel.status_code = Empty,
        );
        // The future of the oldest statement was dropped, so its reply is never reported.
        if self.running.len() == MOST_RUNNING {
            self.running.remove(0);
        }
        self.running.push(Running {
            sql: text.sql,
            system: context.system,
            span,
        });
    }

    fn finish(&mut self, query: &dyn DebugQuery, error: Option<&diesel::result::Error>) {
        let position = match self.running.len() {
            0 => return,
            1 => 0,
            // PostgreSQL runs several statements at once, and replies in their order.
            _ => {
                let Text { sql, .. } = Text::of(query, false);
                let same = self.running.iter().position(|running| running.sql == sql);
                same.unwrap_or(0)
            }
        };
        let Running { span, system, .. } = self.running.remove(position);
        let Some(error) = error else {
            return;
        };
        span.record("error.type", error_type(error));
        if let Some(code) = status_code(system, error) {
            span.record("db.response.status_code", code);
        }
        span.record("otel.status_code", "ERROR");
        // Some servers repeat values in their messages.
        let parameters = {
            let transaction = self.current.lock();
            transaction
                .as_ref()
                .is_some_and(|context| context.unit.parameters)
        };
        tracing::debug!(
            target: "diesel_binds::statement",
            parent: &span,
            { error = parameters.then_some(error as &(dyn std::error::Error + 'static)), error.type = error_type(error) },
            "the statement failed"
        );
    }
}

impl Instrumentation for StatementSpans {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match &event {
            InstrumentationEvent::StartQuery { query, .. } => self.start(*query),
            InstrumentationEvent::FinishQuery { query, error, .. } => self.finish(*query, *error),
            _ => {}
        }
        if let Some(over) = &mut self.over {
            over.on_connection_event(event);
        }
    }
}

impl fmt::Debug for StatementSpans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatementSpans").finish_non_exhaustive()
    }
}

/// Returns whether the query only reads the rest of a reply.
fn is_rest_of_reply(query: &dyn DebugQuery) -> bool {
    let Text { sql, .. } = Text::of(query, false);
    let parameter = sql.strip_prefix(REST_OF_REPLY);
    parameter.is_some_and(|parameter| parameter.trim() == "?")
}

/// The transaction of a unit on one connection, for its observers.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    context: Option<Arc<StatementContext>>,
    current: Option<CurrentTransaction>,
}

impl Transaction {
    /// Begins a transaction, with a span if a subscriber is interested.
    pub(crate) fn begin(unit: &UnitContext, server: ServerAttributes<'_>) -> Self {
        let span = unit.transaction(server);
        if span.is_disabled() && !observes_statements() {
            return Self::default();
        }
        Self {
            context: Some(Arc::new(StatementContext {
                unit: unit.clone(),
                span,
                bind: server.bind,
                system: server.system,
                database: server.database.to_owned(),
            })),
            current: None,
        }
    }

    /// Returns whether a subscriber is interested in the statements of the transaction.
    pub(crate) fn is_observed(&self) -> bool {
        self.context.is_some() && observes_statements()
    }

    /// Makes spans of the statements of a connection, until the transaction is dropped.
    pub(crate) fn attach_to(&mut self, spans: &StatementSpans) {
        *spans.current.lock() = self.context.clone();
        self.current = Some(Arc::clone(&spans.current));
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(current) = &self.current {
            *current.lock() = None;
        }
    }
}

fn observes_statements() -> bool {
    tracing::span_enabled!(target: "diesel_binds::statement", Level::DEBUG)
}
