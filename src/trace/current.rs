//! The span of the unit that a session is in.

use parking_lot::Mutex;

use crate::gid::UnitId;
use crate::trace::unit::{UnitContext, UnitTrace};

/// The span of the unit that a session is in, once it ran a query.
#[derive(Debug, Default)]
pub(crate) struct CurrentTrace(Mutex<Option<UnitTrace>>);

impl CurrentTrace {
    /// Returns the place of the unit among the spans. The first call opens the span of the unit.
    pub(crate) fn context(&self, unit: UnitId, application: &str, parameters: bool) -> UnitContext {
        let mut current = self.0.lock();
        if let Some(open) = current.as_ref()
            && open.unit() == unit
        {
            return open.context().clone();
        }
        let open = current.insert(UnitTrace::open(unit, application, parameters));
        open.context().clone()
    }

    /// Returns the trace of the unit that ends now, or of a part of it, which has another id. `None` if it ran no
    /// query.
    pub(crate) fn end(&self, ends: UnitId) -> Option<UnitTrace> {
        let mut current = self.0.lock();
        if current.as_ref()?.unit() == ends {
            current.take()
        } else {
            current.as_ref().map(|open| open.part(ends))
        }
    }
}
