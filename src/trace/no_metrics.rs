//! The replacement of `metrics` without its feature: nothing is measured.

use std::time::Instant;

use crate::trace::words::{PassResult, ServerAttributes, UnitResult};

pub(crate) fn describe() {}

pub(super) fn ended(_: UnitResult) {}

pub(super) fn recovered(_: &'static str, _: UnitResult) {}

pub(crate) fn in_doubt(_: &'static str, _: usize) {}

pub(crate) fn passed(_: PassResult) {}

pub(crate) struct PoolMetrics;

impl PoolMetrics {
    pub(crate) fn new(_: &'static str, _: usize) -> Self {
        Self
    }

    pub(crate) fn wait(&self) -> Waiting {
        Waiting
    }

    pub(crate) fn taken(&self, _: impl FnOnce() -> usize) {}

    pub(crate) fn given_back(&self, _: Instant, _: impl FnOnce() -> usize) {}

    pub(crate) fn answered(
        &self,
        _: Stopwatch,
        _: ServerAttributes<'_>,
        _: Option<&diesel::result::Error>,
    ) {
    }
}

pub(crate) struct Waiting;

impl Waiting {
    pub(crate) fn done(self) {}

    pub(crate) fn timed_out(self) {}
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch;

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self
    }
}
