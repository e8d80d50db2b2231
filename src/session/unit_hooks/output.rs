//! The return types of hooks after the end of a unit, which cannot veto anything.

use crate::error::BoxError;

/// A return type of a hook that cannot veto: nothing, or a result whose error is reported.
///
/// This trait is sealed.
pub trait HookOutput: sealed::Sealed {
    #[doc(hidden)]
    fn into_result(self) -> Result<(), BoxError>;
}

mod sealed {
    /// Seals [`HookOutput`](super::HookOutput).
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
