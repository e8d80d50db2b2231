//! The spans of recovery: of each pass, of each database in it, and of each branch that the pass works on.

use std::fmt;

use tracing::Span;
use tracing::field::Empty;

use crate::gid::Gid;
use crate::trace::metrics;
use crate::trace::words::{PassResult, ServerAttributes, UnitResult, variant};

/// A running pass of recovery. If it is dropped before its end, the pass was stopped.
#[derive(Debug)]
pub(crate) struct PassTrace {
    span: Span,
    ended: bool,
}

/// The numbers in the result of a pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) recovered: usize,
    pub(crate) in_doubt: usize,
    pub(crate) unreachable: usize,
    pub(crate) forgotten: usize,
}

impl PassTrace {
    /// Begins the span of a pass with the name of its purpose.
    pub(crate) fn begin(application: &str, purpose: &'static str) -> Self {
        let span = tracing::debug_span!(
            target: "diesel_binds::recovery",
            "recovery",
            application,
            purpose,
            outcome = Empty,
            recovered = Empty,
            in_doubt = Empty,
            unreachable = Empty,
            forgotten = Empty,
            otel.status_code = Empty,
        );
        Self { span, ended: false }
    }

    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Records the end of the pass.
    pub(crate) fn ended(mut self, result: PassResult, counts: Counts) {
        self.ended = true;
        self.span.record("recovered", counts.recovered);
        self.span.record("in_doubt", counts.in_doubt);
        self.span.record("unreachable", counts.unreachable);
        self.span.record("forgotten", counts.forgotten);
        self.span.record("outcome", result.word());
        if result == PassResult::Failed {
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

impl Drop for PassTrace {
    fn drop(&mut self) {
        if !self.ended {
            self.span.record("outcome", PassResult::Stopped.word());
        }
    }
}

/// Opens the span of a unit that an operator forces.
pub(crate) fn force(gid: &Gid, result: UnitResult, reason: &str) -> Span {
    tracing::info_span!(
        target: "diesel_binds::recovery",
        "force",
        unit = %gid.unit(),
        %gid,
        outcome = result.word(),
        reason,
        error.type = Empty,
        otel.status_code = Empty,
    )
}

/// Opens the span of a pass in one database, within the span of the pass.
pub(crate) fn database(bind: &'static str) -> Span {
    tracing::debug_span!(
        target: "diesel_binds::recovery",
        "database",
        otel.kind = "client",
        bind,
        db.system.name = Empty,
        db.namespace = Empty,
        listed = Empty,
        error.type = Empty,
        otel.status_code = Empty,
    )
}

/// Opens the span of the deletion of old records in one database, within the span of the pass.
pub(crate) fn forgetting(bind: &'static str) -> Span {
    tracing::debug_span!(
        target: "diesel_binds::recovery",
        "forget",
        otel.kind = "client",
        bind,
        db.system.name = Empty,
        db.namespace = Empty,
        forgotten = Empty,
        error.type = Empty,
        otel.status_code = Empty,
    )
}

/// Notes the server of a bind on a span. Its properties are known after it was asked for them once.
pub(crate) fn note_server(span: &Span, server: Option<ServerAttributes<'_>>) {
    if let Some(server) = server {
        span.record("db.system.name", server.system);
        span.record("db.namespace", server.database);
    }
}

/// Notes an error on a span: the name of its variant, without any text of a server.
pub(crate) fn note_error(span: &Span, error: &dyn fmt::Debug) {
    span.record("error.type", variant(error));
    span.record("otel.status_code", "ERROR");
}

/// The result of the work of a pass on a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// The pass finished the branch.
    Finished,
    /// Another process had finished the branch before.
    Gone,
    /// The branch is still prepared.
    Left,
}

/// The span of a branch that a pass works on.
#[derive(Debug)]
pub(crate) struct BranchTrace {
    bind: &'static str,
    span: Span,
}

impl BranchTrace {
    pub(crate) fn begin(bind: &'static str, gid: &Gid) -> Self {
        let span = tracing::info_span!(
            target: "diesel_binds::recovery",
            "branch",
            bind,
            unit = %gid.unit(),
            %gid,
            holder = gid.holder(),
            outcome = Empty,
            done = Empty,
            error.type = Empty,
            otel.status_code = Empty,
        );
        Self { bind, span }
    }

    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Notes the outcome that the holder has for the unit.
    pub(crate) fn outcome(&self, result: UnitResult) {
        self.span.record("outcome", result.word());
    }

    /// Notes that the branch is no longer prepared.
    pub(crate) fn done(&self, result: UnitResult, done: Done) {
        self.outcome(result);
        self.span.record("done", done.word());
        if done == Done::Finished {
            metrics::recovered(self.bind, result);
        }
    }

    /// Notes that the branch is still prepared, for this reason.
    pub(crate) fn left(&self, error: &dyn fmt::Debug) {
        self.span.record("done", Done::Left.word());
        note_error(&self.span, error);
    }
}

impl Done {
    fn word(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Gone => "gone",
            Self::Left => "left",
        }
    }
}
