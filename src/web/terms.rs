//! The settings that the layer and its services share, with the part that ends the unit of a request.

use std::fmt;
use std::sync::Arc;

use http::response;

use crate::registry::Binds;
use crate::session::SessionOptions;

/// The settings that the layer and its services share.
#[derive(Clone)]
pub(super) struct Terms {
    pub(super) binds: Binds,
    pub(super) options: SessionOptions,
    pub(super) ending: Ending,
}

/// The part that ends the unit.
#[derive(Clone)]
pub(super) enum Ending {
    /// The handler ends it.
    ByHand,
    /// The layer commits a success, unless there is a veto.
    OnSuccess(Option<Veto>),
}

pub(super) type Veto = Arc<dyn Fn(&response::Parts) -> bool + Send + Sync>;

impl Ending {
    /// Returns whether the layer commits after this response.
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
