//! A pool that a registry shares with code that uses it directly.

use std::sync::Arc;

use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, deadpool};
use diesel_async::{
    AsyncConnection, AsyncMysqlConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection,
};
use diesel_binds::{AsyncSqliteConnection, Bind, BindOptions, BindsBuilder, Source};
use futures_util::FutureExt as _;
use kit::side::PoolKind;

/// A pool of either kind. All clones share one pool.
pub(crate) trait Shared: Clone + Send + Sync + 'static {
    type Connection: AsyncConnection + SimpleAsyncConnection + 'static;

    /// Opens a pool of `size` connections. `setup` runs on each new connection.
    fn open(url: &str, kind: PoolKind, size: usize, setup: &str) -> Self;

    /// Uses a connection of the pool directly, without a registry.
    fn with<R>(
        &self,
        work: impl AsyncFnOnce(&mut Self::Connection) -> R,
    ) -> impl Future<Output = R>;

    /// Runs queries on all connections of the pool at once, and on a fresh one. Returns the text column `value` of
    /// their rows.
    fn ask_all(
        &self,
        url: &str,
        setup: &str,
        size: usize,
        queries: &[&str],
    ) -> impl Future<Output = (Vec<Vec<String>>, Vec<String>)> + Send;

    /// Registers a bind with the pool.
    fn register<B: Bind<Connection = Self::Connection> + Default>(
        &self,
        builder: BindsBuilder,
        options: BindOptions,
    ) -> BindsBuilder;
}

/// Returns a manager that runs `setup` on each new connection.
fn manager<C>(url: &str, setup: &str) -> AsyncDieselConnectionManager<C>
where
    C: AsyncConnection + SimpleAsyncConnection + 'static,
{
    let setup: Arc<str> = setup.into();
    let mut config = ManagerConfig::<C>::default();
    config.custom_setup = Box::new(move |url| {
        let setup = Arc::clone(&setup);
        async move {
            let mut connection = C::establish(url).await?;
            // MariaDB refuses an empty message.
            if !setup.is_empty() {
                let set = connection.batch_execute(&setup).await;
                set.map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
            }
            Ok(connection)
        }
        .boxed()
    });
    AsyncDieselConnectionManager::new_with_config(url, config)
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    value: String,
}

/// Runs queries, and returns each row as a text.
async fn ask<C>(connection: &mut C, queries: &[&str]) -> Vec<String>
where
    C: AsyncConnection,
    for<'q> diesel::query_builder::SqlQuery: diesel_async::methods::LoadQuery<'q, C, Row>,
{
    let mut answers = Vec::new();
    for query in queries {
        let rows: diesel::QueryResult<Vec<Row>> =
            RunQueryDsl::load(diesel::sql_query((*query).to_owned()), connection).await;
        match rows {
            Ok(rows) => answers.extend(rows.into_iter().map(|row| row.value)),
            Err(error) => answers.push(format!("{query}: {error}")),
        }
    }
    answers
}

/// Defines a pool of one connection type. The bounds of the pools are too many for a generic.
macro_rules! shared {
    ($name:ident, $connection:ty) => {
        #[derive(Clone)]
        pub(crate) enum $name {
            Deadpool(deadpool::Pool<$connection>),
            Bb8(bb8::Pool<AsyncDieselConnectionManager<$connection>>),
        }

        impl Shared for $name {
            type Connection = $connection;

            fn open(url: &str, kind: PoolKind, size: usize, setup: &str) -> Self {
                let manager = manager(url, setup);
                match kind {
                    PoolKind::Bb8 => Self::Bb8(
                        bb8::Pool::builder()
                            .max_size(u32::try_from(size).unwrap())
                            .build_unchecked(manager),
                    ),
                    _ => Self::Deadpool(
                        deadpool::Pool::builder(manager)
                            .max_size(size)
                            .build()
                            .unwrap(),
                    ),
                }
            }

            async fn with<R>(&self, work: impl AsyncFnOnce(&mut $connection) -> R) -> R {
                match self {
                    Self::Deadpool(pool) => work(&mut pool.get().await.unwrap()).await,
                    Self::Bb8(pool) => work(&mut pool.get().await.unwrap()).await,
                }
            }

            async fn ask_all(
                &self,
                url: &str,
                setup: &str,
                size: usize,
                queries: &[&str],
            ) -> (Vec<Vec<String>>, Vec<String>) {
                let mut of_pool = Vec::new();
                match self {
                    Self::Deadpool(pool) => {
                        let mut all = Vec::new();
                        for _ in 0..size {
                            all.push(pool.get().await.unwrap());
                        }
                        for connection in &mut all {
                            of_pool.push(ask(&mut **connection, queries).await);
                        }
                    }
                    Self::Bb8(pool) => {
                        let mut all = Vec::new();
                        for _ in 0..size {
                            all.push(pool.get().await.unwrap());
                        }
                        for connection in &mut all {
                            of_pool.push(ask(&mut **connection, queries).await);
                        }
                    }
                }
                let mut fresh = <$connection>::establish(url).await.unwrap();
                if !setup.is_empty() {
                    fresh.batch_execute(setup).await.unwrap();
                }
                (of_pool, ask(&mut fresh, queries).await)
            }

            fn register<B: Bind<Connection = $connection> + Default>(
                &self,
                builder: BindsBuilder,
                options: BindOptions,
            ) -> BindsBuilder {
                match self {
                    Self::Deadpool(pool) => {
                        builder.bind(B::default(), Source::pool(pool.clone()).options(options))
                    }
                    Self::Bb8(pool) => {
                        builder.bind(B::default(), Source::pool(pool.clone()).options(options))
                    }
                }
            }
        }
    };
}

shared!(OfPostgres, AsyncPgConnection);
shared!(OfMariadb, AsyncMysqlConnection);
shared!(OfSqlite, AsyncSqliteConnection);
