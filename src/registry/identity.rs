//! The ids of databases, where one was copied or moved.

use crate::commit::Fault;
use crate::gid::DatabaseId;
use crate::registry::Binds;

impl Binds {
    /// Gives the database of a bind, by its key, an id of its own: for a copy, whose original goes on ([`Fault::Copied`],
    /// [`Fault::SameIdentity`]).
    ///
    /// No process may commit on the database meanwhile. Units that were in doubt when the copy was made are decided by the
    /// original; what they left prepared in copies of the other databases is for
    /// [`force`](crate::Recovery::force).
    ///
    /// # Errors
    ///
    /// [`Fault::UnknownBind`] for another key; else what the database said. Nothing was changed then.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped: the database has either id then.
    pub async fn renew_identity(&self, bind: &str) -> Result<(), Fault> {
        self.adopt(bind, Some(DatabaseId::generate())).await
    }

    /// Lets the file of a bind, by its key, keep its id: it was moved to another file system or restored, and the one from
    /// which it came is gone for good ([`Fault::Copied`]). Two files that go on with one id tear units. Only SQLite notices
    /// by itself; elsewhere this changes nothing.
    ///
    /// What was committed after a backup was made is not in it. A unit whose decision is lost that way is rolled back by
    /// recovery where it is still prepared.
    ///
    /// # Errors
    ///
    /// [`Fault::UnknownBind`] for another key; else what the database said. Nothing was changed then.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped: the file is then taken for the one with the id, or not yet.
    pub async fn keep_identity(&self, bind: &str) -> Result<(), Fault> {
        self.adopt(bind, None).await
    }

    async fn adopt(&self, bind: &str, id: Option<DatabaseId>) -> Result<(), Fault> {
        let mut entries = self.registry.entries.iter();
        match entries.find(|entry| entry.key() == bind) {
            Some(_) if self.registry.is_sandbox() => Err(Fault::Sandbox),
            Some(entry) => entry.adopt(id).await,
            None => Err(Fault::UnknownBind),
        }
    }
}
