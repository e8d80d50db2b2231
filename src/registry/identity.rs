//! The ids of databases after a copy or a move.

use crate::commit::Fault;
use crate::gid::DatabaseId;
use crate::registry::Binds;

impl Binds {
    /// Gives the database of a bind, by its key, a new id. This is for a copy whose original is still in use
    /// ([`Fault::Copied`], [`Fault::SameIdentity`]).
    ///
    /// No process may commit on the database meanwhile. The original decides the units that were in doubt when the copy
    /// was made. Use [`force`](crate::Recovery::force) for their branches in copies of the other databases.
    ///
    /// # Errors
    ///
    /// [`Fault::UnknownBind`] for another key; [`Fault::Replaced`] if this process has used the bind on another server,
    /// once: a second call changes the database that the URL then leads to. Otherwise the error of the database. After an
    /// error, nothing was changed.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped: the database then has either id.
    pub async fn renew_identity(&self, bind: &str) -> Result<(), Fault> {
        self.adopt(bind, Some(DatabaseId::generate())).await
    }

    /// Lets the database of a bind, by its key, keep its id. This is for a file that was moved to another file system or
    /// restored ([`Fault::Copied`]), and for a server that took the place of another one ([`Fault::OtherServer`]), while
    /// the origin is gone for good. If two databases with one id are in use, units can be committed in part.
    ///
    /// On PostgreSQL, MySQL and MariaDB, nothing is recorded: this process takes the server that now answers for the one
    /// to recover from. Call it in each process that reports [`Fault::OtherServer`], or restart them.
    ///
    /// Commits after a backup are not in it. If the decision of a unit is lost that way, recovery rolls the unit back
    /// where it is still prepared.
    ///
    /// # Errors
    ///
    /// [`Fault::UnknownBind`] for another key; otherwise the error of the database. Then nothing was changed.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped: the file may then be recorded as the one with the id, or not.
    pub async fn keep_identity(&self, bind: &str) -> Result<(), Fault> {
        self.adopt(bind, None).await
    }

    async fn adopt(&self, bind: &str, id: Option<DatabaseId>) -> Result<(), Fault> {
        let mut entries = self.registry.entries.iter();
        match entries.find(|entry| entry.key() == bind) {
            Some(entry) => match self.registry.sandbox() {
                Some(sandbox) => Err(sandbox.real_database()),
                None => entry.adopt(id).await,
            },
            None => Err(Fault::UnknownBind),
        }
    }
}
