//! The span of a unit, from its first query to its end, and the spans below it.

use std::fmt;

use tracing::Span;
use tracing::field::{Empty, display};

use crate::gid::{Gid, UnitId};
use crate::trace::metrics;
use crate::trace::words::{ServerAttributes, UnitResult};

/// The place of a unit among the spans, for all work of the unit.
#[derive(Clone, Debug)]
pub(crate) struct UnitContext {
    pub(super) unit: UnitId,
    pub(super) span: Span,
    /// The span in which the first query of the unit ran.
    opened_in: Span,
    pub(super) parameters: bool,
}

impl UnitContext {
    fn open(unit: UnitId, application: &str, parameters: bool) -> Self {
        let span = tracing::info_span!(
            target: "diesel_binds::unit",
            "unit",
            %unit,
            application,
            gid = Empty,
            outcome = Empty,
            error.type = Empty,
            otel.status_code = Empty,
        );
        Self {
            unit,
            span,
            opened_in: Span::current(),
            parameters,
        }
    }

    /// Returns the context of a unit that has not begun.
    pub(crate) fn none() -> Self {
        Self {
            unit: UnitId::NONE,
            span: Span::none(),
            opened_in: Span::none(),
            parameters: false,
        }
    }

    /// Opens the span of a transaction of the unit.
    pub(super) fn transaction(&self, server: ServerAttributes<'_>) -> Span {
        tracing::debug_span!(
            target: "diesel_binds::transaction",
            parent: self.parent(),
            "transaction",
            bind = server.bind,
            unit = %self.unit,
            db.system.name = server.system,
            db.namespace = server.database,
        )
    }

    /// Returns the innermost span for the current work of the unit. If the caller has opened another span since the
    /// unit began, it is that one, otherwise `own`.
    pub(super) fn innermost<'s>(&'s self, current: &'s Span, own: &'s Span) -> &'s Span {
        if !current.is_disabled() && current.id() != self.opened_in.id() {
            current
        } else if !own.is_disabled() {
            own
        } else {
            self.parent()
        }
    }

    fn parent(&self) -> &Span {
        match self.span.is_disabled() {
            true => &self.opened_in,
            false => &self.span,
        }
    }
}

/// The trace of an open unit. If it is dropped before the unit ended, the unit was rolled back.
#[derive(Debug)]
pub(crate) struct UnitTrace {
    context: UnitContext,
    ends_unit: bool,
    ended: Option<UnitResult>,
}

impl UnitTrace {
    pub(crate) fn open(unit: UnitId, application: &str, parameters: bool) -> Self {
        Self {
            context: UnitContext::open(unit, application, parameters),
            ends_unit: true,
            ended: None,
        }
    }

    pub(crate) fn unit(&self) -> UnitId {
        self.context.unit
    }

    pub(crate) fn context(&self) -> &UnitContext {
        &self.context
    }

    /// Creates the trace of the commit of a part of the unit, under an id of its own.
    pub(crate) fn part(&self, unit: UnitId) -> Self {
        Self {
            context: UnitContext {
                unit,
                ..self.context.clone()
            },
            ends_unit: false,
            ended: None,
        }
    }

    /// Begins the end of the unit, with a span below that of the unit.
    pub(crate) fn ending(self, rolls_back: bool) -> UnitEndTrace {
        let unit = &self.context;
        let span = match rolls_back {
            true => tracing::info_span!(
                target: "diesel_binds::commit",
                parent: unit.parent(),
                "roll-back",
                unit = %unit.unit,
            ),
            false => tracing::info_span!(
                target: "diesel_binds::commit",
                parent: unit.parent(),
                "commit",
                unit = %unit.unit,
                gid = Empty,
                outcome = Empty,
                error.type = Empty,
                otel.status_code = Empty,
            ),
        };
        UnitEndTrace { trace: self, span }
    }

    fn end(&mut self, result: UnitResult) {
        self.ended = Some(result);
        metrics::ended(result);
        if self.ends_unit {
            self.context.span.record("outcome", result.word());
        }
    }
}

impl Drop for UnitTrace {
    fn drop(&mut self) {
        if self.ended.is_none() && self.ends_unit {
            self.end(UnitResult::RolledBack);
        }
    }
}

/// The trace of a unit that is ending, on a task of its own. If it is dropped before the end, the outcome is unknown.
#[derive(Debug)]
pub(crate) struct UnitEndTrace {
    trace: UnitTrace,
    span: Span,
}

impl UnitEndTrace {
    /// Returns the span of the end of the unit.
    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Notes the end of the unit. `error` is the name of the error, if there is one.
    pub(crate) fn ended(
        mut self,
        result: UnitResult,
        gid: Option<&Gid>,
        error: Option<&'static str>,
    ) {
        self.span.record("outcome", result.word());
        for span in [&self.span, &self.trace.context.span] {
            if let Some(gid) = gid {
                span.record("gid", display(gid));
            }
            if let Some(error) = error {
                span.record("error.type", error);
                span.record("otel.status_code", "ERROR");
            }
        }
        self.trace.end(result);
    }
}

impl Drop for UnitEndTrace {
    fn drop(&mut self) {
        if self.trace.ended.is_none() {
            self.trace.end(UnitResult::Unknown);
        }
    }
}

/// Opens the span of one step of a commit on one bind, within the span of the commit.
pub(crate) fn commit_step(
    bind: &'static str,
    step: impl fmt::Display,
    unit: UnitId,
    gid: Option<&Gid>,
) -> Span {
    tracing::debug_span!(
        target: "diesel_binds::commit",
        "step",
        bind,
        %step,
        %unit,
        gid = gid.map(display),
        error.type = Empty,
        otel.status_code = Empty,
    )
}
