//! What observers hear of recovery: a span of each pass, of each database in it, and of each branch that it works on.

use std::fmt;

use tracing::Span;
use tracing::field::Empty;

use crate::gid::Gid;
use crate::trace::metrics;
use crate::trace::words::{Ends, PassEnds, Place, variant};

/// A pass of recovery that goes on. Dropped before it ended, it was stopped.
#[derive(Debug)]
pub(crate) struct PassTrace {
    span: Span,
    ended: bool,
}

/// What a pass did and left, in numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) recovered: usize,
    pub(crate) in_doubt: usize,
    pub(crate) unreachable: usize,
    pub(crate) forgotten: usize,
}

impl PassTrace {
    /// A pass begins. `purpose` says who wants it, and what for.
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

    /// It came to its end.
    pub(crate) fn ended(mut self, ends: PassEnds, counts: Counts) {
        self.ended = true;
        self.span.record("recovered", counts.recovered);
        self.span.record("in_doubt", counts.in_doubt);
        self.span.record("unreachable", counts.unreachable);
        self.span.record("forgotten", counts.forgotten);
        self.span.record("outcome", ends.word());
        if ends == PassEnds::Failed {
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

impl Drop for PassTrace {
    fn drop(&mut self) {
        if !self.ended {
            self.span.record("outcome", PassEnds::Stopped.word());
        }
    }
}

/// The span of a unit that an operator forces.
pub(crate) fn force(gid: &Gid, ends: Ends, reason: &str) -> Span {
    tracing::info_span!(
        target: "diesel_binds::recovery",
        "force",
        unit = %gid.unit(),
        %gid,
        outcome = ends.word(),
        reason,
        error.type = Empty,
        otel.status_code = Empty,
    )
}

/// The span of what a pass does in one database, within that of the pass.
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

/// The span of deleting old records in one database, within that of the pass.
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

/// Notes on a span where its bind is, which nobody knows before its server was asked once.
pub(crate) fn note_place(span: &Span, place: Option<Place<'_>>) {
    if let Some(place) = place {
        span.record("db.system.name", place.system);
        span.record("db.namespace", place.database);
    }
}

/// Notes on a span what went wrong: a word for it, without anything that a server said.
pub(crate) fn note_error(span: &Span, error: &dyn fmt::Debug) {
    span.record("error.type", variant(error));
    span.record("otel.status_code", "ERROR");
}

/// What became of a branch that a pass worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// It was finished.
    Finished,
    /// Somebody else had finished it by then.
    Gone,
    /// It is still there.
    Left,
}

/// A branch that is worked on.
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

    /// How its unit ended, as its holder has it.
    pub(crate) fn outcome(&self, ends: Ends) {
        self.span.record("outcome", ends.word());
    }

    /// It is not there any more.
    pub(crate) fn done(&self, ends: Ends, done: Done) {
        self.outcome(ends);
        self.span.record("done", done.word());
        if done == Done::Finished {
            metrics::recovered(self.bind, ends);
        }
    }

    /// It is still there, for that reason.
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
