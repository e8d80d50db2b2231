//! Recovery, as the public API of a registry.

use std::time::Duration;

use crate::commit::{Fault, Outcome};
use crate::gid::Gid;
use crate::recovery::{
    self, Database, ForceError, ForceOptions, GRACE, Purpose, RecoveryError, RecoveryReport,
};
use crate::registry::Binds;

/// A handle for recovery. It finishes units that a process left prepared, lists them, and returns their outcomes. It
/// also decides in the place of a lost holder. See [`Binds::recovery`].
///
/// # Example
///
/// ```no_run
/// # async fn example(binds: diesel_binds::Binds) {
/// let pass = binds.recovery().run().await;
/// println!("{pass}");
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Recovery<'binds> {
    binds: &'binds Binds,
}

impl Binds {
    /// Returns a handle for manual recovery: the [worker](crate::BindsBuilder::recovery) does the same automatically.
    #[must_use]
    pub fn recovery(&self) -> Recovery<'_> {
        Recovery { binds: self }
    }
}

impl<'binds> Recovery<'binds> {
    /// Finishes every unit of this application that is left prepared on any bind. Commits the unit if its holder
    /// recorded that it committed, and rolls it back if not.
    ///
    /// Several processes may do so at once, and while others commit. Before a branch is finished, the outcome of its
    /// unit is made final (`docs/recovery.md`). A branch that was prepared in the last three seconds is left to the
    /// process that prepared it. Takes no connection of the pools.
    ///
    /// Never fails: failures are in the [`RecoveryReport`], and the next pass tries again.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped: finished branches stay finished, and the next pass does the rest.
    pub async fn run(self) -> RecoveryReport {
        self.run_older_than(GRACE).await
    }

    /// Finishes units like [`run`](Self::run), but with another minimum age. Younger units are left to the process that
    /// is committing them. At zero, units in the middle of their commit are rolled back. Each of them is rolled back on
    /// all binds, and its caller receives that outcome.
    ///
    /// # Cancel safety
    ///
    /// See [`run`](Self::run).
    pub async fn run_older_than(self, age: Duration) -> RecoveryReport {
        recovery::recover(&self.binds.registry.scope, Purpose::Finish(age)).await
    }

    /// Lists the prepared and unfinished branches of this application on all binds, and the reason for each. Changes
    /// nothing.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed; the future may be dropped.
    pub async fn in_doubt(self) -> RecoveryReport {
        recovery::recover(&self.binds.registry.scope, Purpose::Look).await
    }

    /// Finishes a unit whose holder is lost for good, on the responsibility of the operator.
    ///
    /// The outcome and the reason are recorded in `diesel_binds_forced` of each database with a branch of the unit,
    /// before any branch is finished. A later call, in any process, must have the same outcome. So every part of the
    /// unit must be found on the binds of this process. [`ForceOptions::parts_are_gone`] is for parts that cannot be
    /// found.
    ///
    /// Refused while the holder answers and is the database that decides: use [`run`](Self::run) then. A holder that
    /// has forgotten the unit gets a fence. If an unreachable holder has decided otherwise and comes back, the unit is
    /// committed in part. This process cannot detect that.
    ///
    /// The [`RecoveryReport`] lists the branches that were finished, and those that could not be finished: call this
    /// again for them.
    ///
    /// # Errors
    ///
    /// Each variant of [`ForceError`] is a reason why nothing was finished.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped: records and finished branches stay, and the next call does the rest.
    pub async fn force(
        self,
        gid: &Gid,
        outcome: Outcome,
        reason: &str,
    ) -> Result<RecoveryReport, ForceError> {
        self.force_with(gid, outcome, reason, ForceOptions::new())
            .await
    }

    /// Finishes a unit like [`force`](Self::force), with options for facts that only the operator has.
    ///
    /// # Errors
    ///
    /// See [`force`](Self::force).
    ///
    /// # Cancel safety
    ///
    /// See [`force`](Self::force).
    pub async fn force_with(
        self,
        gid: &Gid,
        outcome: Outcome,
        reason: &str,
        options: ForceOptions,
    ) -> Result<RecoveryReport, ForceError> {
        recovery::force(&self.binds.registry.scope, gid, outcome, reason, options).await
    }

    /// Returns the outcome that the holder of a unit has recorded. `None` if it has recorded nothing: the unit was
    /// rolled back, or is still being decided. Changes nothing.
    ///
    /// # Errors
    ///
    /// [`RecoveryError`] if the holder cannot be asked, or the unit belongs to another application.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed; the future may be dropped.
    pub async fn outcome_of(self, gid: &Gid) -> Result<Option<Outcome>, RecoveryError> {
        match self.holder_of(gid) {
            Ok(holder) => holder.recorded(gid).await,
            Err(fault) => Err(fault),
        }
        .map_err(|source| RecoveryError::new(gid, source))
    }

    /// Returns the outcome of a unit. If its holder has recorded none, writes a fence: a decision that is still on its
    /// way then fails, and the unit never commits.
    ///
    /// # Errors
    ///
    /// [`RecoveryError`] if the holder cannot be asked, or the unit belongs to another application.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped: the unit may then be kept from committing. The next call returns the outcome.
    pub async fn resolve(self, gid: &Gid) -> Result<Outcome, RecoveryError> {
        match self.holder_of(gid) {
            Ok(holder) => holder.resolve(gid).await,
            Err(fault) => Err(fault),
        }
        .map_err(|source| RecoveryError::new(gid, source))
    }

    /// Returns the holder of a unit of this application. The gid may belong to another one.
    fn holder_of(self, gid: &Gid) -> Result<&'binds dyn Database, Fault> {
        let scope = &self.binds.registry.scope;
        if gid.namespace() != &*scope.namespace {
            let namespace = gid.namespace().into();
            return Err(Fault::ForeignNamespace { namespace });
        }
        scope.by_key(gid.holder()).ok_or(Fault::UnknownBind)
    }
}
