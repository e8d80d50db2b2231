//! One hook with the place of its registration, and the run of a hook after the end of a unit.

use std::panic::{AssertUnwindSafe, Location};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use crate::commit::HookFailure;
use crate::error::BoxError;

/// A hook before the commit, which borrows the session `S`.
pub(in crate::session) type Before<S> =
    Box<dyn for<'s> FnOnce(&'s mut S) -> BoxFuture<'s, Result<(), BoxError>> + Send>;
/// A hook after the end of a unit.
pub(in crate::session) type After<T> =
    Box<dyn FnOnce(T) -> BoxFuture<'static, Result<(), BoxError>> + Send>;

/// A hook, and the place of its registration.
pub(in crate::session) struct Hook<F> {
    pub(in crate::session) registered_at: &'static Location<'static>,
    pub(in crate::session) run: F,
}

impl<F> Hook<F> {
    #[track_caller]
    pub(super) fn new(run: F) -> Self {
        Self {
            registered_at: Location::caller(),
            run,
        }
    }
}

/// The error of a hook that exceeded its time limit.
#[derive(Debug, thiserror::Error)]
#[error("it did not end within {0:?}, the deadline of its unit")]
struct TooLong(Duration);

pub(super) async fn run<T>(
    hook: Hook<After<T>>,
    argument: T,
    limit: Option<Duration>,
) -> Result<(), HookFailure> {
    let Hook { registered_at, run } = hook;
    let running = async move {
        match limit {
            None => run(argument).await,
            Some(limit) => timeout(limit, run(argument))
                .await
                .unwrap_or_else(|_| Err(TooLong(limit).into())),
        }
    };
    match AssertUnwindSafe(running).catch_unwind().await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(HookFailure::new(registered_at, error)),
        Err(payload) => Err(HookFailure::panicked(registered_at, &*payload)),
    }
}
