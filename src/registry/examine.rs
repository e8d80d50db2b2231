//! The preflight of one database.

use std::sync::Arc;

use crate::backend::{Connection, Server, records};
use crate::commit::Fault;
use crate::gid::DatabaseId;
use crate::registry::entry::Entry;
use crate::tls::TlsMode;

/// The results of the preflight of one database.
pub(crate) struct Examined {
    pub(crate) server: Arc<Server>,
    pub(crate) cannot_prepare: Option<String>,
    pub(crate) pool_size: usize,
    /// The setting because of which confirmed commits may be lost, if any.
    pub(crate) not_durable: Option<String>,
    /// `true` if commits wait for no standby or replica, although they must, or did before.
    pub(crate) is_unreplicated: bool,
    /// The reason why no transaction can begin, if so.
    pub(crate) unusable: Option<Fault>,
    /// `true` if the bind is read-only, and so never the holder.
    pub(crate) read_only: bool,
    /// Further remarks of the server.
    pub(crate) remarks: Vec<String>,
    /// The reason why its role cannot delete the records of finished units, if so.
    pub(crate) cannot_forget: Option<Fault>,
    /// The host whose connections are in the clear because it offers no TLS, if so.
    pub(crate) unencrypted: Option<String>,
    /// The id of the database, unless no transaction can begin.
    pub(crate) database: Option<Result<DatabaseId, Fault>>,
}

impl<C: Connection> Entry<C> {
    /// Examines the database on a connection outside of the pool.
    pub(super) async fn examine_on(&self, connection: &mut C) -> Result<Examined, Fault> {
        let server = self.inspect(connection).await.map_err(Fault::Refused)?;
        self.note_role(&server);
        let unencrypted = match &self.tls {
            // Through a pooler, the server sees another connection.
            Some(tls) if tls.mode == TlsMode::Prefer && tls.remote.is_some() && !server.pooled => {
                let encrypted = connection.is_encrypted().await.map_err(Fault::Refused)?;
                tls.remote.clone().filter(|_| encrypted == Some(false))
            }
            _ => None,
        };
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
            unencrypted,
            database: None,
        };
        let mut terms = self.terms(self.clock.generate(), server);
        terms.read_only = true;
        terms.allow_not_durable = true;
        terms.require_replication = false;
        // Begins like a unit, which, for example, attaches the files of a group.
        if let Err(error) = connection.begin(&terms).await {
            examined.unusable = Some(Fault::Refused(error));
            return Ok(examined);
        }
        // Before the tables of the protocol are read: if they are missing, the transaction is aborted.
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
