//! The span of the unit that a session is in.

use std::sync::{Mutex, PoisonError};

use crate::gid::UnitId;
use crate::trace::unit::{UnitContext, UnitTrace};

/// The span of the unit that a session is in, once it ran a query.
#[derive(Debug, Default)]
pub(crate) struct CurrentTrace(Mutex<Option<UnitTrace>>);

impl CurrentTrace {
    /// Where the unit stands among the spans. The first to ask opens its own.
    pub(crate) fn context(&self, unit: UnitId, application: &str, parameters: bool) -> UnitContext {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = current.as_ref()
            && open.unit() == unit
        {
            return open.context().clone();
        }
        let open = current.insert(UnitTrace::open(unit, application, parameters));
        open.context().clone()
    }

    /// The span of what ends now: the unit, or under another id a part of it. `None` if it ran no query.
    pub(crate) fn end(&self, ends: UnitId) -> Option<UnitTrace> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref()?.unit() == ends {
            current.take()
        } else {
            current.as_ref().map(|open| open.part(ends))
        }
    }
}
