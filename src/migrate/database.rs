//! The database of one bind, while migrations run on it.

use std::sync::Arc;
use std::time::Duration;

use diesel::QueryResult;
use diesel::connection::CacheSize;
use diesel::migration::MigrationVersion;
use diesel_async::TransactionManager as _;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use crate::backend::migrate::{
    History, LockAttempt, LockId, Migratable, NoLockFile, adopt, create_history, forget, record,
};
use crate::commit::Fault;
use crate::error::BoxError;
use crate::migrate::known::Known;
use crate::migrate::problem::Direction;
use crate::migrate::set::{Connect, Set, Source};

/// A connection to the database of a bind, on which its migrations run.
pub(crate) trait Database: Send {
    /// Opens the connection for the lock.
    fn locker(&mut self) -> BoxFuture<'_, Result<Locker, NoLocker>>;
    /// Reads the history of the database. Changes nothing.
    fn history(&mut self) -> BoxFuture<'_, Result<History, NoHistory>>;
    /// Creates the tables of the history, and records that these versions belong to the bind.
    fn adopt<'a>(&'a mut self, versions: &'a [String]) -> BoxFuture<'a, Result<(), NoHistory>>;
    /// Runs or reverts one migration, and records it.
    fn apply<'a>(
        &'a mut self,
        migration: &'a Known,
        direction: Direction,
    ) -> BoxFuture<'a, Result<(), Failure>>;
}

/// A connection that holds or will hold the lock of a database.
pub(crate) trait Lock: Send {
    fn attempt<'a>(
        &'a mut self,
        own: LockId,
        earlier: &'a [LockId],
    ) -> BoxFuture<'a, QueryResult<LockAttempt>>;
    fn is_held(&mut self) -> BoxFuture<'_, QueryResult<bool>>;
    fn blocking_branches(&mut self) -> BoxFuture<'_, QueryResult<Vec<String>>>;
    fn release(&mut self) -> BoxFuture<'_, QueryResult<()>>;
}

/// The lock of a database, before it is taken.
pub(crate) struct Locker {
    pub(crate) lock: Box<dyn Lock>,
    /// The file that is locked, if the lock is a file.
    pub(crate) file: Option<String>,
}

/// The reason why a database cannot be locked.
pub(crate) enum NoLocker {
    NoFile(NoLockFile),
    Connect(Fault),
}

/// The reason why the history of a database was not read or written.
pub(crate) enum NoHistory {
    Refused(diesel::result::Error),
    TimedOut(Duration),
}

/// The failure of a migration.
pub(crate) struct Failure {
    pub(crate) source: BoxError,
    /// `true` if no change of the migration is left.
    pub(crate) rolled_back: bool,
}

/// The migration is no longer in the source.
#[derive(Debug, thiserror::Error)]
#[error("the migrations of the bind do not have it any more")]
struct Gone;

/// The migration panicked, and its connection is lost.
#[derive(Debug, thiserror::Error)]
#[error("the migration panicked")]
struct Panicked;

pub(super) struct Opened<C: Migratable> {
    key: &'static str,
    source: Arc<Source<C>>,
    connect: Arc<Connect<C>>,
    limit: Duration,
    /// The connection; `None` after a migration panicked, because its state is unknown.
    connection: Option<C>,
}

impl<C: Migratable> Opened<C> {
    pub(super) async fn open(set: &Set<C>) -> Result<Self, Fault> {
        let mut connection = (set.connect)().await?;
        // Behind a pooler, a prepared statement must not outlive its transaction.
        connection.set_prepared_statement_cache_size(CacheSize::Disabled);
        Ok(Self {
            key: set.key,
            source: Arc::clone(&set.source),
            connect: Arc::clone(&set.connect),
            limit: set.limit,
            connection: Some(connection),
        })
    }

    fn connection(&mut self) -> QueryResult<&mut C> {
        self.connection
            .as_mut()
            .ok_or(diesel::result::Error::BrokenTransactionManager)
    }

    async fn apply_one(&mut self, migration: &Known, direction: Direction) -> Result<(), Failure> {
        let stays = |source: BoxError| Failure {
            source,
            rolled_back: false,
        };
        let version = &migration.id.version;
        if migration.in_transaction {
            let connection = self.connection().map_err(|error| Failure {
                source: error.into(),
                rolled_back: true,
            })?;
            connection
                .begin_migration()
                .await
                .map_err(|error| Failure {
                    source: error.into(),
                    rolled_back: true,
                })?;
        }
        let mut applied = self.run_sql(version, direction).await;
        if applied.is_ok() {
            applied = self.note(version, direction).await.map_err(Into::into);
        }
        let connection = self.connection().map_err(|error| stays(error.into()))?;
        match applied {
            Ok(()) if migration.in_transaction => {
                C::TransactionManager::commit_transaction(connection)
                    .await
                    .map_err(|error| stays(error.into()))
            }
            Ok(()) => Ok(()),
            Err(source) if migration.in_transaction => {
                let rolled_back = C::TransactionManager::rollback_transaction(connection).await;
                Err(Failure {
                    source,
                    rolled_back: rolled_back.is_ok() && !C::DDL_COMMITS,
                })
            }
            Err(source) => Err(stays(source)),
        }
    }

    /// Runs the SQL of a migration on a thread that may block, because Diesel's migrations need a blocking connection.
    ///
    /// If the future is dropped, the migration continues, and its connection is closed afterwards.
    async fn run_sql(&mut self, version: &str, direction: Direction) -> Result<(), BoxError> {
        let connection = self.connection.take().ok_or(Panicked)?;
        let source = Arc::clone(&self.source);
        let version = version.to_owned();
        let blocking = tokio::task::spawn_blocking(move || {
            let mut connection: AsyncConnectionWrapper<C> = connection.into();
            let result = source.migrations().and_then(|migrations| {
                let migration = migrations
                    .into_iter()
                    .find(|migration| {
                        migration.name().version() == MigrationVersion::from(&version)
                    })
                    .ok_or(Gone)?;
                match direction {
                    Direction::Run => migration.run(&mut connection),
                    Direction::Revert => migration.revert(&mut connection),
                }
            });
            (connection.into_inner(), result)
        });
        let (connection, result) = blocking.await.map_err(|_| Panicked)?;
        self.connection = Some(connection);
        result
    }

    /// Records the migration as run or reverted.
    async fn note(&mut self, version: &str, direction: Direction) -> QueryResult<()> {
        let key = self.key;
        let connection = self.connection()?;
        match direction {
            Direction::Run => {
                for statement in record(version, key) {
                    connection.batch_execute(&statement).await?;
                }
            }
            Direction::Revert => {
                for statement in forget(version) {
                    connection.batch_execute(&statement).await?;
                }
            }
        }
        Ok(())
    }
}

impl<C: Migratable> Database for Opened<C> {
    fn locker(&mut self) -> BoxFuture<'_, Result<Locker, NoLocker>> {
        async move {
            let connect = Arc::clone(&self.connect);
            let connection = self
                .connection()
                .map_err(|error| NoLocker::NoFile(error.into()))?;
            let file = connection.lock_file().await.map_err(NoLocker::NoFile)?;
            let mut lock = match &file {
                Some(path) => C::establish(path)
                    .await
                    .map_err(|error| NoLocker::Connect(Fault::Connect(error.into())))?,
                None => connect().await.map_err(NoLocker::Connect)?,
            };
            lock.set_prepared_statement_cache_size(CacheSize::Disabled);
            Ok(Locker {
                lock: Box::new(Held(lock)),
                file,
            })
        }
        .boxed()
    }

    fn history(&mut self) -> BoxFuture<'_, Result<History, NoHistory>> {
        within(
            self.limit,
            async move { self.connection()?.history().await },
        )
        .boxed()
    }

    fn adopt<'a>(&'a mut self, versions: &'a [String]) -> BoxFuture<'a, Result<(), NoHistory>> {
        let limit = self.limit;
        let adopting = async move {
            let key = self.key;
            let connection = self.connection()?;
            for statement in create_history() {
                connection.batch_execute(statement).await?;
            }
            for version in versions {
                connection.batch_execute(&adopt(version, key)).await?;
            }
            Ok(())
        };
        within(limit, adopting).boxed()
    }

    fn apply<'a>(
        &'a mut self,
        migration: &'a Known,
        direction: Direction,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        async move {
            self.apply_one(migration, direction).await?;
            // A copy that is made before the first unit must not count as the original.
            let recorded = async { self.connection()?.record_place().await };
            if let Err(error) = recorded.await {
                tracing::warn!(bind = self.key, %error, "the place of the database was not recorded: the first unit does it");
            }
            Ok(())
        }
        .boxed()
    }
}

/// Limits a request in time: a pooler without a free second session would let it wait forever.
async fn within<T>(
    limit: Duration,
    asking: impl Future<Output = QueryResult<T>>,
) -> Result<T, NoHistory> {
    match timeout(limit, asking).await {
        Ok(answer) => answer.map_err(NoHistory::Refused),
        Err(_) => Err(NoHistory::TimedOut(limit)),
    }
}

struct Held<C>(C);

impl<C: Migratable> Lock for Held<C> {
    fn attempt<'a>(
        &'a mut self,
        own: LockId,
        earlier: &'a [LockId],
    ) -> BoxFuture<'a, QueryResult<LockAttempt>> {
        self.0.try_lock(own, earlier).boxed()
    }

    fn is_held(&mut self) -> BoxFuture<'_, QueryResult<bool>> {
        self.0.holds_lock().boxed()
    }

    fn blocking_branches(&mut self) -> BoxFuture<'_, QueryResult<Vec<String>>> {
        self.0.blocking_branches_beside_lock().boxed()
    }

    fn release(&mut self) -> BoxFuture<'_, QueryResult<()>> {
        self.0.unlock().boxed()
    }
}
