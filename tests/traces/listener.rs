//! A subscriber that keeps the spans and events of one unit, as an exporter would get them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

/// A span, or an event, with its fields as text.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpanOrEvent {
    pub(crate) name: String,
    pub(crate) target: String,
    /// The names of the surrounding spans, the nearest first.
    pub(crate) within: Vec<String>,
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) is_closed: bool,
    pub(crate) level: Option<Level>,
    /// The surrounding spans.
    ancestors: Vec<u64>,
}

impl SpanOrEvent {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

/// All spans and events so far, of all tests of the program.
static RECORDED: Mutex<Vec<SpanOrEvent>> = Mutex::new(Vec::new());

/// Subscribes for the whole program: the background work of a session, and SQLite's own thread, do not belong to the
/// thread of a test.
pub(crate) fn listen() {
    static LISTENING: OnceLock<()> = OnceLock::new();
    LISTENING.get_or_init(|| {
        let subscriber = tracing_subscriber::registry().with(Listener);
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

/// Returns the spans and events within the span of a test, in the order of their begins.
pub(crate) fn recorded_in(test: &tracing::Span) -> Vec<SpanOrEvent> {
    let own = test.id().unwrap().into_u64();
    let recorded = RECORDED.lock().unwrap_or_else(PoisonError::into_inner);
    recorded
        .iter()
        .filter(|recorded| recorded.ancestors.contains(&own))
        .cloned()
        .collect()
}

/// Returns all spans and events with this field.
pub(crate) fn recorded_with(field: &str, value: &str) -> Vec<SpanOrEvent> {
    let recorded = RECORDED.lock().unwrap_or_else(PoisonError::into_inner);
    recorded
        .iter()
        .filter(|recorded| recorded.field(field) == value)
        .cloned()
        .collect()
}

struct Listener;

/// The position of a span in [`RECORDED`], because ids are reused.
struct Position(usize);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Listener {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let mut recorded = RECORDED.lock().unwrap_or_else(PoisonError::into_inner);
        span.extensions_mut().insert(Position(recorded.len()));
        let around = span.scope().skip(1);
        let (within, ancestors) = around
            .map(|s| (s.name().to_owned(), s.id().into_u64()))
            .unzip();
        recorded.push(SpanOrEvent {
            name: span.name().to_owned(),
            target: span.metadata().target().to_owned(),
            within,
            fields: fields.0.into_iter().collect(),
            is_closed: false,
            level: Some(*span.metadata().level()),
            ancestors,
        });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        change(id, &context, |recorded| recorded.fields.extend(fields.0));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let around = context.event_scope(event).into_iter().flatten();
        let (within, ancestors) = around
            .map(|s| (s.name().to_owned(), s.id().into_u64()))
            .unzip();
        let mut recorded = RECORDED.lock().unwrap_or_else(PoisonError::into_inner);
        recorded.push(SpanOrEvent {
            name: "event".into(),
            target: event.metadata().target().to_owned(),
            within,
            fields: fields.0.into_iter().collect(),
            is_closed: true,
            level: Some(*event.metadata().level()),
            ancestors,
        });
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        change(&id, &context, |recorded| recorded.is_closed = true);
    }
}

fn change<S>(id: &Id, context: &Context<'_, S>, change: impl FnOnce(&mut SpanOrEvent))
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let span = context.span(id).unwrap();
    let extensions = span.extensions();
    let Position(position) = extensions.get().unwrap();
    let mut recorded = RECORDED.lock().unwrap_or_else(PoisonError::into_inner);
    change(&mut recorded[*position]);
}

#[derive(Default)]
struct Fields(HashMap<String, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().into(), format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(error) = source {
            text.push_str(&format!(": {error}"));
            source = error.source();
        }
        self.0.insert(field.name().into(), text);
    }
}
