//! The span of a unit, from its first query to its end, and what is below it.

use std::fmt;

use tracing::Span;
use tracing::field::{Empty, display};

use crate::gid::{Gid, UnitId};
use crate::trace::metrics;
use crate::trace::words::{Ends, Place};

/// Where a unit stands among the spans, for all that is done for it.
#[derive(Clone, Debug)]
pub(crate) struct UnitContext {
    pub(super) unit: UnitId,
    pub(super) span: Span,
    /// The span that its first query ran in.
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

    /// That of a unit that has not begun.
    pub(crate) fn none() -> Self {
        Self {
            unit: UnitId::NONE,
            span: Span::none(),
            opened_in: Span::none(),
            parameters: false,
        }
    }

    /// The span of a transaction of the unit.
    pub(super) fn transaction(&self, place: Place<'_>) -> Span {
        tracing::debug_span!(
            target: "diesel_binds::transaction",
            parent: self.parent(),
            "transaction",
            bind = place.bind,
            unit = %self.unit,
            db.system.name = place.system,
            db.namespace = place.database,
        )
    }

    /// The innermost span of what is done for the unit now: that of the caller, if it opened another one since the unit
    /// began, else `own`.
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

/// A unit that is open. Dropped before it ended, it was rolled back.
#[derive(Debug)]
pub(crate) struct UnitTrace {
    context: UnitContext,
    ends_unit: bool,
    ended: Option<Ends>,
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

    /// The commit of a part of the unit, under an id of its own.
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

    /// The end of the unit, as a span below it.
    pub(crate) fn ending(self, rolls_back: bool) -> Ending {
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
        Ending { trace: self, span }
    }

    fn end(&mut self, ends: Ends) {
        self.ended = Some(ends);
        metrics::ended(ends);
        if self.ends_unit {
            self.context.span.record("outcome", ends.word());
        }
    }
}

impl Drop for UnitTrace {
    fn drop(&mut self) {
        if self.ended.is_none() && self.ends_unit {
            self.end(Ends::RolledBack);
        }
    }
}

/// A unit that is ending, on a task of its own. Dropped before it ended, nobody knows how it did.
#[derive(Debug)]
pub(crate) struct Ending {
    trace: UnitTrace,
    span: Span,
}

impl Ending {
    /// The span that the end happens in.
    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Notes how it ended. `error` is a word for what went wrong.
    pub(crate) fn ended(mut self, ends: Ends, gid: Option<&Gid>, error: Option<&'static str>) {
        self.span.record("outcome", ends.word());
        for span in [&self.span, &self.trace.context.span] {
            if let Some(gid) = gid {
                span.record("gid", display(gid));
            }
            if let Some(error) = error {
                span.record("error.type", error);
                span.record("otel.status_code", "ERROR");
            }
        }
        self.trace.end(ends);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if self.trace.ended.is_none() {
            self.trace.end(Ends::Unknown);
        }
    }
}

/// The span of one step of a commit on one bind, within the span of the commit.
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
