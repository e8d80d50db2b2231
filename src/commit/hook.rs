//! The failure of a hook that ran after the end of the unit, and could change nothing any more.

use std::any::Any;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use diesel_binds_derive::ErrorDebug;

/// A hook that failed after the unit had ended: see [`Commit::hook_failures`](crate::Commit::hook_failures).
#[derive(Clone, ErrorDebug)]
pub struct HookFailure {
    registered_at: &'static Location<'static>,
    source: Arc<dyn std::error::Error + Send + Sync + 'static>,
}

/// A hook panicked.
#[derive(Debug, thiserror::Error)]
#[error("it panicked: {0}")]
struct Panicked(String);

impl HookFailure {
    pub(crate) fn new(
        registered_at: &'static Location<'static>,
        source: Box<dyn std::error::Error + Send + Sync + 'static>,
    ) -> Self {
        Self {
            registered_at,
            source: source.into(),
        }
    }

    /// Creates the failure of a hook that panicked with this payload.
    pub(crate) fn panicked(
        registered_at: &'static Location<'static>,
        payload: &(dyn Any + Send),
    ) -> Self {
        let message = if let Some(text) = payload.downcast_ref::<&str>() {
            (*text).to_owned()
        } else if let Some(text) = payload.downcast_ref::<String>() {
            text.clone()
        } else {
            "with no message".to_owned()
        };
        Self::new(registered_at, Box::new(Panicked(message)))
    }

    /// Returns the place where the hook was registered.
    #[must_use]
    pub fn registered_at(&self) -> &'static Location<'static> {
        self.registered_at
    }
}

impl fmt::Display for HookFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the hook registered at {} failed", self.registered_at)
    }
}

impl std::error::Error for HookFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

/// Two values are equal if they come from one failure.
impl PartialEq for HookFailure {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.source, &other.source)
    }
}

impl Eq for HookFailure {}
