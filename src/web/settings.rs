//! The settings that the layer and its services share, with the part that ends the unit of a request.

use std::fmt;
use std::sync::Arc;

use http::response;

use crate::registry::Binds;
use crate::session::SessionOptions;
use crate::web::grpc;

/// The settings that the layer and its services share.
#[derive(Clone)]
pub(super) struct LayerSettings {
    pub(super) binds: Binds,
    pub(super) options: SessionOptions,
    pub(super) commit_rule: CommitRule,
}

/// The part that ends the unit.
#[derive(Clone)]
pub(super) enum CommitRule {
    /// The handler ends it.
    ByHand,
    /// The layer commits a success, unless there is a veto.
    OnSuccess(Option<Veto>),
}

pub(super) type Veto = Arc<dyn Fn(&response::Parts) -> bool + Send + Sync>;

impl CommitRule {
    /// Returns whether the layer commits after this response.
    pub(super) fn commits(&self, response: &response::Parts) -> bool {
        let Self::OnSuccess(veto) = self else {
            return false;
        };
        let has_failed = response.status.as_u16() >= 400 || grpc::has_failed(response);
        !has_failed && !veto.as_ref().is_some_and(|veto| veto(response))
    }
}

impl fmt::Debug for LayerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let commit_rule = match self.commit_rule {
            CommitRule::ByHand => "by hand",
            CommitRule::OnSuccess(None) => "commit on success",
            CommitRule::OnSuccess(Some(_)) => "commit on success, with a veto",
        };
        f.debug_struct("BindsLayer")
            .field("binds", &self.binds)
            .field("options", &self.options)
            .field("commit_rule", &commit_rule)
            .finish()
    }
}
