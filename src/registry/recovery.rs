//! Recovery, as users of a registry call it.

use std::time::Duration;

use crate::commit::{Fault, Outcome};
use crate::gid::Gid;
use crate::recovery::{
    self, Database, ForceError, ForceOptions, GRACE, Purpose, RecoveryError, RecoveryReport,
};
use crate::registry::Binds;

/// A handle for recovery: it finishes units that a process left prepared, lists them, tells how one ended, and decides in
/// the place of a lost holder. See [`Binds::recovery`].
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
    /// Recovery, by hand: the [worker](crate::BindsBuilder::recovery) does the same by itself.
    #[must_use]
    pub fn recovery(&self) -> Recovery<'_> {
        Recovery { binds: self }
    }
}

impl<'binds> Recovery<'binds> {
    /// Finishes every unit of this application that is left prepared on any bind: commits it if its holder recorded
    /// that it committed, rolls it back if not.
    ///
    /// Several processes may do so at once, and while others commit: the outcome of a unit is excluded from changing
    /// before anything is done (`docs/recovery.md`). A unit that was prepared in the last three seconds is left to the
    /// process that is committing it. Takes no connection of the pools.
    ///
    /// Never fails: what could not be done is in the [`RecoveryReport`], and the next pass tries it again.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped: what is done is done, and the next pass does the rest.
    pub async fn run(self) -> RecoveryReport {
        self.run_older_than(GRACE).await
    }

    /// As [`run`](Self::run), with another age from which on a unit is not left to the process that is
    /// committing it. At zero, units in the middle of their commit are rolled back: nothing is torn by that, and their
    /// callers are told so.
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    pub async fn run_older_than(self, age: Duration) -> RecoveryReport {
        recovery::recover(&self.binds.registry.scope, Purpose::Finish(age)).await
    }

    /// The branches of this application that are prepared and unfinished on any bind, and what each waits for. Changes
    /// nothing.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed; the future may be dropped.
    pub async fn in_doubt(self) -> RecoveryReport {
        recovery::recover(&self.binds.registry.scope, Purpose::Look).await
    }

    /// Finishes a unit whose holder is lost for good, as somebody says who takes the responsibility.
    ///
    /// The outcome and the reason are recorded in `diesel_binds_forced` of each database with a branch of the unit,
    /// before any is finished; a later call can only say the same, in whatever process. So every part of the unit must be
    /// seen on the binds of this one; [`ForceOptions::parts_are_gone`] is for those that cannot be.
    ///
    /// Refused while the holder answers and is the database that decides: [`run`](Self::run) then does what is
    /// right. A holder that has forgotten the unit gets a row that keeps a late decision out. If a holder that could not
    /// be reached comes back after all, and had decided otherwise, the unit is torn: nobody can see that from here.
    ///
    /// The [`RecoveryReport`] says which branches were finished, and which could not be: call it again for those.
    ///
    /// # Errors
    ///
    /// Each variant of [`ForceError`] says why nothing was finished.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped: what is recorded and finished stays so, and the next call does the rest.
    pub async fn force(
        self,
        gid: &Gid,
        outcome: Outcome,
        reason: &str,
    ) -> Result<RecoveryReport, ForceError> {
        self.force_with(gid, outcome, reason, ForceOptions::new())
            .await
    }

    /// As [`force`](Self::force), with what the operator knows beside what can be seen.
    ///
    /// # Errors
    ///
    /// As [`force`](Self::force).
    ///
    /// # Cancel safety
    ///
    /// As [`force`](Self::force).
    pub async fn force_with(
        self,
        gid: &Gid,
        outcome: Outcome,
        reason: &str,
        options: ForceOptions,
    ) -> Result<RecoveryReport, ForceError> {
        recovery::force(&self.binds.registry.scope, gid, outcome, reason, options).await
    }

    /// How a unit ended, as its holder has recorded it. `None` if it has recorded nothing: the unit was rolled back, or
    /// is still being decided. Changes nothing.
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

    /// How a unit ended, and if its holder has recorded nothing, that it never commits: a decision that is still on its
    /// way is kept out.
    ///
    /// # Errors
    ///
    /// [`RecoveryError`] if the holder cannot be asked, or the unit belongs to another application.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped: the unit may then be kept from committing, which the next call tells.
    pub async fn settle(self, gid: &Gid) -> Result<Outcome, RecoveryError> {
        match self.holder_of(gid) {
            Ok(holder) => holder.resolve(gid).await,
            Err(fault) => Err(fault),
        }
        .map_err(|source| RecoveryError::new(gid, source))
    }

    /// The holder of a unit of this application. A gid may come from anywhere.
    fn holder_of(self, gid: &Gid) -> Result<&'binds dyn Database, Fault> {
        let scope = &self.binds.registry.scope;
        if gid.namespace() != &*scope.namespace {
            let namespace = gid.namespace().into();
            return Err(Fault::ForeignNamespace { namespace });
        }
        scope.by_key(gid.holder()).ok_or(Fault::UnknownBind)
    }
}
