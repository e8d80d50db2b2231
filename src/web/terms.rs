//! What the layer and its services have in common: who ends the unit of a request.

use std::fmt;
use std::sync::Arc;

use http::response;

use crate::registry::Binds;
use crate::session::SessionOptions;

/// What the layer and its services have in common.
#[derive(Clone)]
pub(super) struct Terms {
    pub(super) binds: Binds,
    pub(super) options: SessionOptions,
    pub(super) ending: Ending,
}

/// Who ends the unit.
#[derive(Clone)]
pub(super) enum Ending {
    /// The handler.
    ByHand,
    /// The layer: it commits a success, unless the veto says no.
    OnSuccess(Option<Veto>),
}

pub(super) type Veto = Arc<dyn Fn(&response::Parts) -> bool + Send + Sync>;

impl Ending {
    /// Whether the layer commits after this response.
    pub(super) fn commits(&self, response: &response::Parts) -> bool {
        let Self::OnSuccess(veto) = self else {
            return false;
        };
        let status = response.status;
        status.as_u16() < 400 && !veto.as_ref().is_some_and(|veto| veto(response))
    }
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ending = match self.ending {
            Ending::ByHand => "by hand",
            Ending::OnSuccess(None) => "commit on success",
            Ending::OnSuccess(Some(_)) => "commit on success, with a veto",
        };
        f.debug_struct("BindsLayer")
            .field("binds", &self.binds)
            .field("options", &self.options)
            .field("ending", &ending)
            .finish()
    }
}
