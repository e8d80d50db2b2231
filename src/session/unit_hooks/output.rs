//! What a hook may return after the end of a unit, when it can veto nothing.

use crate::error::BoxError;

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
