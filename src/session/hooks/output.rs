//! What comes of a hook after the end of a unit, which can veto nothing: how it is run, and what it may return.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::timeout;

use crate::commit::HookFailure;
use crate::error::BoxError;
use crate::session::hooks::{After, Hook};

/// What a hook returns that can veto nothing: nothing, or a result whose error is reported.
///
/// This trait is sealed.
pub trait HookOutput: sealed::Sealed {
    #[doc(hidden)]
    fn into_result(self) -> Result<(), BoxError>;
}

mod sealed {
    /// Keeps [`HookOutput`](super::HookOutput) ours.
    pub trait Sealed {}
}

impl sealed::Sealed for () {}

impl HookOutput for () {
    fn into_result(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<E: Into<BoxError>> sealed::Sealed for Result<(), E> {}

impl<E: Into<BoxError>> HookOutput for Result<(), E> {
    fn into_result(self) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}

/// A hook took too long.
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
