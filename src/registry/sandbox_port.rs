//! The port to a sandbox. Only the feature `testing` implements it, so without that feature no registry has one.

use futures_util::future::BoxFuture;

use crate::commit::{Fault, HookFailure};
use crate::error::{Error, PoolError};

/// A hook that runs only when the test runs it.
pub(crate) type CapturedHook =
    Box<dyn FnOnce() -> BoxFuture<'static, Result<(), HookFailure>> + Send>;

/// A sandbox, as its registry sees it.
pub(crate) trait AnySandbox: Send + Sync {
    /// Returns whether settings that a savepoint cannot have are ignored.
    fn ignores_settings(&self) -> bool;
    /// Returns whether hooks after the commit are kept for the test, and do not run.
    fn captures_hooks(&self) -> bool;
    /// Keeps a hook for the test.
    fn capture(&self, hook: CapturedHook);
    /// Returns whether the sandbox has ended.
    fn has_ended(&self) -> bool;
    /// Returns the fault of a commit after the end of the sandbox.
    fn ended(&self, bind: &'static str) -> Fault;
    /// Fails if the sandbox has ended.
    fn check_open(&self, bind: &'static str) -> Result<(), Error>;
    /// Returns the error of a query on a bind that the sandbox does not have.
    fn undeclared(&self, bind: &'static str) -> Error;
    /// Returns the fault of a call that concerns the real database.
    fn real_database(&self) -> Fault;
}

/// The enclosure of an entry in a sandbox, which prevents every commit of a unit.
pub(crate) trait AnyEnclosure: Send + Sync {
    /// Returns whether the units are savepoints in a transaction, and not on a copy.
    fn is_within_outer(&self) -> bool;
    /// Returns whether the transaction around all units is gone, so that no unit can follow.
    fn is_lost(&self) -> bool;
    /// Starts or stops logging statements as the application's own.
    fn log_statements(&self, is_active: bool);
    /// Returns the error of a unit that got no connection.
    fn not_checked_out(&self, source: PoolError) -> Error;
    /// Returns the error of a unit that could not begin.
    fn not_begun(&self, source: diesel::result::Error) -> Error;
    /// Returns the log of its statements, unless the connection has an instrumentation of the application.
    #[cfg(feature = "testing")]
    fn log(&self) -> Option<&crate::trace::QueryLog>;
    /// Ends the enclosure. Fails if any change may have been committed, or if the transaction had ended before.
    #[cfg(feature = "testing")]
    fn end(&self) -> BoxFuture<'_, Result<(), crate::commit::SandboxError>>;
    /// Closes the connection as soon as no unit uses it.
    #[cfg(feature = "testing")]
    fn close(&self);
}
