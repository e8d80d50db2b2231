//! Binds over one to four databases, for behaviours that do not depend on their number.

use std::marker::PhantomData;

use diesel_binds::{
    Bind, BindOptions, Binds, BindsBuilder, Commit, Error, RecoveryOptions, Session,
};

use crate::database::Database;
use crate::side::{PoolKind, Side};
use crate::step::Step;

/// The default number of connections of a pool.
const POOL: usize = 4;

/// Binds, and the databases behind them in the order of their types.
pub struct World {
    pub binds: Binds,
    pub databases: Vec<Database>,
}

/// A tuple of one to four sides.
pub trait Sides: Send + Sync + 'static {
    /// Creates a database for each side.
    fn databases() -> impl Future<Output = Vec<Database>> + Send;

    /// Returns the keys.
    fn keys() -> Vec<&'static str>;

    /// Registers each side with its URL, and with the size of its pool and options of its own.
    fn register_each(
        builder: BindsBuilder,
        urls: &[String],
        pool: PoolKind,
        each: &[(usize, BindOptions)],
    ) -> impl Future<Output = BindsBuilder> + Send;

    /// Registers each side with its URL and a pool of four connections.
    fn register(
        builder: BindsBuilder,
        urls: &[String],
        pool: PoolKind,
        options: &BindOptions,
    ) -> impl Future<Output = BindsBuilder> + Send {
        async move {
            let each = vec![(POOL, options.clone()); Self::keys().len()];
            Self::register_each(builder, urls, pool, &each).await
        }
    }

    /// Writes one row on each side.
    fn write(session: &Session, text: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Returns the rows of each side, as the session reads them.
    fn read(session: &Session) -> impl Future<Output = Result<Vec<Vec<String>>, Error>> + Send;

    /// Returns the rows of each side, read on connections of the test.
    fn rows(world: &World) -> impl Future<Output = Vec<Vec<String>>> + Send;

    /// Sends a number to each side and reads it back.
    fn echo(session: &Session, number: i64)
    -> impl Future<Output = Result<Vec<i64>, Error>> + Send;

    /// Runs one step on one side.
    fn step(
        index: usize,
        step: Step,
        session: &mut Session,
        from: &str,
        to: &str,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Commits one side alone.
    fn commit(
        index: usize,
        session: &mut Session,
    ) -> impl Future<Output = Result<Commit, Error>> + Send;

    /// Runs a statement on one side that takes some seconds.
    fn slow(index: usize, session: &Session) -> impl Future<Output = Result<usize, Error>> + Send;
}

impl World {
    /// Creates fresh databases, with a pool of four connections each.
    pub async fn of<S: Sides>(pool: PoolKind) -> Self {
        Self::builder::<S>().pool(pool).build().await
    }

    /// Returns a builder for a world that differs from that of [`of`](Self::of).
    pub fn builder<S: Sides>() -> WorldBuilder<S> {
        // A worker would interfere between the actions of a test and its checks.
        let binds = Binds::builder()
            .namespace("suite")
            .recovery(RecoveryOptions::new().without_worker());
        WorldBuilder {
            binds,
            pool: PoolKind::Deadpool,
            each: vec![(POOL, BindOptions::new()); S::keys().len()],
            sides: PhantomData,
        }
    }

    /// Returns the URLs of the databases.
    pub fn urls(&self) -> Vec<String> {
        urls(&self.databases)
    }
}

/// Returns the URLs of these databases.
pub fn urls(databases: &[Database]) -> Vec<String> {
    databases.iter().map(|d| d.url().to_owned()).collect()
}

/// A builder of a [`World`], or of binds over existing databases. Its defaults are the namespace `suite`, no worker,
/// and pools of deadpool with four connections.
#[must_use]
pub struct WorldBuilder<S> {
    binds: BindsBuilder,
    pool: PoolKind,
    each: Vec<(usize, BindOptions)>,
    sides: PhantomData<S>,
}

impl<S: Sides> WorldBuilder<S> {
    /// Changes the builder of the binds: a namespace, limits, hooks.
    pub fn binds(mut self, set: impl FnOnce(BindsBuilder) -> BindsBuilder) -> Self {
        self.binds = set(self.binds);
        self
    }

    /// Sets the pool of each bind.
    pub fn pool(mut self, pool: PoolKind) -> Self {
        self.pool = pool;
        self
    }

    /// Sets the number of connections in the pool of each bind.
    pub fn size(mut self, size: usize) -> Self {
        self.each
            .iter_mut()
            .for_each(|(of_bind, _)| *of_bind = size);
        self
    }

    /// Sets the number of connections in the pool of one bind.
    pub fn size_of(mut self, index: usize, size: usize) -> Self {
        self.each[index].0 = size;
        self
    }

    /// Sets the options of each bind.
    pub fn options(mut self, options: &BindOptions) -> Self {
        let each = self.each.iter_mut();
        each.for_each(|(_, of_bind)| of_bind.clone_from(options));
        self
    }

    /// Sets the options of one bind.
    pub fn options_of(mut self, index: usize, options: BindOptions) -> Self {
        self.each[index].1 = options;
        self
    }

    /// Creates fresh databases, and binds over them.
    pub async fn build(self) -> World {
        self.over(S::databases().await).await
    }

    /// Creates binds over these databases.
    pub async fn over(self, databases: Vec<Database>) -> World {
        World {
            binds: self.connect(&urls(&databases)).await,
            databases,
        }
    }

    /// Creates binds over these URLs, which may lead through proxies.
    pub async fn connect(self, urls: &[String]) -> Binds {
        S::register_each(self.binds, urls, self.pool, &self.each)
            .await
            .build()
            .unwrap()
    }
}

/// Creates binds over these URLs, which may lead through proxies.
pub async fn binds<S: Sides>(urls: &[String], pool: PoolKind, options: &BindOptions) -> Binds {
    let builder = World::builder::<S>().pool(pool).options(options);
    builder.connect(urls).await
}

/// Implements `Sides` for tuples.
macro_rules! sides {
    ($($side:ident $index:literal),+) => {
        impl<$($side: Side),+> Sides for ($($side,)+) {
            async fn databases() -> Vec<Database> {
                vec![$($side::database().await),+]
            }

            fn keys() -> Vec<&'static str> {
                vec![$(<$side::Bind as Bind>::KEY),+]
            }

            async fn register_each(
                builder: BindsBuilder,
                urls: &[String],
                pool: PoolKind,
                each: &[(usize, BindOptions)],
            ) -> BindsBuilder {
                $(let (size, options) = each[$index].clone();
                let builder = $side::register(builder, &urls[$index], pool, size, options).await;)+
                builder
            }

            async fn write(session: &Session, text: &str) -> Result<(), Error> {
                $($side::write(session, text).await?;)+
                Ok(())
            }

            async fn read(session: &Session) -> Result<Vec<Vec<String>>, Error> {
                Ok(vec![$($side::read(session).await?),+])
            }

            async fn rows(world: &World) -> Vec<Vec<String>> {
                vec![$($side::rows(&world.databases[$index]).await),+]
            }

            async fn echo(session: &Session, number: i64) -> Result<Vec<i64>, Error> {
                Ok(vec![$($side::echo(session, number).await?),+])
            }

            async fn step(
                index: usize,
                step: Step,
                session: &mut Session,
                from: &str,
                to: &str,
            ) -> Result<(), Error> {
                match index {
                    $($index => step.run::<$side>(session, from, to).await,)+
                    _ => unreachable!("there are fewer sides"),
                }
            }

            async fn commit(index: usize, session: &mut Session) -> Result<Commit, Error> {
                match index {
                    $($index => session.commit_only($side::bind()).await,)+
                    _ => unreachable!("there are fewer sides"),
                }
            }

            async fn slow(index: usize, session: &Session) -> Result<usize, Error> {
                match index {
                    $($index => $side::sql(session, $side::SLOW).await,)+
                    _ => unreachable!("there are fewer sides"),
                }
            }
        }
    };
}

sides!(A 0);
sides!(A 0, B 1);
sides!(A 0, B 1, C 2);
sides!(A 0, B 1, C 2, D 3);
