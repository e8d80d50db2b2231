//! What the preflight asks of one database.

use std::sync::Arc;

use tokio::time::timeout;

use crate::backend::{Connection, Server, records};
use crate::commit::Fault;
use crate::gid::DatabaseId;
use crate::registry::entry::Entry;

/// What a look at one database found.
pub(crate) struct Examined {
    pub(crate) server: Arc<Server>,
    pub(crate) cannot_prepare: Option<String>,
    pub(crate) pool_size: usize,
    /// The setting that makes a confirmed commit forgettable, if any.
    pub(crate) not_durable: Option<String>,
    /// Its commits wait for no standby or replica, although they must, or did.
    pub(crate) is_unreplicated: bool,
    /// Why no transaction can begin, if so.
    pub(crate) unusable: Option<Fault>,
    /// Nothing is ever decided by it.
    pub(crate) read_only: bool,
    /// What else the server says.
    pub(crate) remarks: Vec<String>,
    /// Why its role cannot forget the records of finished units, if so.
    pub(crate) cannot_forget: Option<Fault>,
    /// The id of the database, unless nothing can be asked of it.
    pub(crate) database: Option<Result<DatabaseId, Fault>>,
}

impl<C: Connection> Entry<C> {
    /// Looks at the database on a connection of its own. A server that does not answer ends this as well.
    pub(super) async fn examine(&self) -> Result<Examined, Fault> {
        let mut connection = self.connect(self.timeouts.checkout).await?;
        timeout(self.timeouts.step, self.examine_on(&mut connection))
            .await
            .unwrap_or(Err(Fault::TimedOut))
    }

    async fn examine_on(&self, connection: &mut C) -> Result<Examined, Fault> {
        let server = self.inspect(connection).await.map_err(Fault::Refused)?;
        let mut examined = Examined {
            cannot_prepare: self.cannot_prepare(&server).map(Into::into),
            pool_size: self.pool.max_size(),
            not_durable: server.not_durable.clone(),
            server: Arc::clone(&server),
            is_unreplicated: false,
            unusable: None,
            remarks: connection.remarks().await.map_err(Fault::Refused)?,
            cannot_forget: records::cannot_forget(connection, &server.schema).await,
            read_only: self.options.read_only,
            database: None,
        };
        let mut terms = self.terms(self.clock.generate(), server);
        terms.read_only = true;
        terms.allow_not_durable = true;
        terms.require_replication = false;
        // As a unit would ask: its begin attaches the files of a group, for one.
        if let Err(error) = connection.begin(&terms).await {
            examined.unusable = Some(Fault::Refused(error));
            return Ok(examined);
        }
        // Before our tables: where they are missing, the transaction is aborted.
        let replicated = connection.durable(&terms).await?;
        terms.allow_not_durable = false;
        let mut database = connection.identify(&terms).await;
        if let Err(Fault::NotDurable { setting }) = database {
            examined.not_durable = Some(setting);
            terms.allow_not_durable = true;
            database = connection.identify(&terms).await;
        }
        examined.database = Some(database.map(|found| found.database));
        examined.is_unreplicated = replicated != Some(true)
            && (self.options.require_synchronous_replication || self.was_replicated());
        Ok(examined)
    }
}
