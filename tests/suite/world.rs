//! Binds over one to four databases, for behaviours that do not care how many there are.

use diesel_binds::{
    Bind, BindOptions, Binds, BindsBuilder, Committed, Error, RecoveryOptions, Session,
};

use crate::suite::side::{PoolKind, Side};
use crate::suite::step::Step;
use crate::support::database::Database;

/// Binds, and the databases behind them in the order of their types.
pub struct World {
    pub binds: Binds,
    pub databases: Vec<Database>,
}

/// One to four sides: a tuple of them.
pub trait Sides: Send + Sync + 'static {
    /// Makes a database for each.
    fn databases() -> impl Future<Output = Vec<Database>> + Send;

    /// The keys.
    fn keys() -> Vec<&'static str>;

    /// Registers each, with the URLs given.
    fn register(
        builder: BindsBuilder,
        urls: &[String],
        pool: PoolKind,
        options: &BindOptions,
    ) -> impl Future<Output = BindsBuilder> + Send;

    /// Writes one row on each.
    fn write(session: &Session, text: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// The rows of each, as the session sees them.
    fn read(session: &Session) -> impl Future<Output = Result<Vec<Vec<String>>, Error>> + Send;

    /// The rows of each, read on connections of the test's own.
    fn rows(world: &World) -> impl Future<Output = Vec<Vec<String>>> + Send;

    /// Sends a number to each and reads it back.
    fn echo(session: &Session, number: i64)
    -> impl Future<Output = Result<Vec<i64>, Error>> + Send;

    /// Does one thing on one of them.
    fn step(
        index: usize,
        step: Step,
        session: &mut Session,
        from: &str,
        to: &str,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Commits one of them alone.
    fn commit(
        index: usize,
        session: &mut Session,
    ) -> impl Future<Output = Result<Committed, Error>> + Send;

    /// A statement on one of them that takes seconds.
    fn slow(index: usize, session: &Session) -> impl Future<Output = Result<usize, Error>> + Send;
}

impl World {
    /// Fresh databases, with a pool of four connections each.
    pub async fn of<S: Sides>(pool: PoolKind) -> Self {
        let databases = S::databases().await;
        let urls: Vec<String> = databases.iter().map(|d| d.url().to_owned()).collect();
        Self {
            binds: binds::<S>(&urls, pool, &BindOptions::new()).await,
            databases,
        }
    }
}

/// Binds over these URLs, which may lead through proxies.
pub async fn binds<S: Sides>(urls: &[String], pool: PoolKind, options: &BindOptions) -> Binds {
    // A worker would come between what a behaviour does and what it looks at.
    let builder = Binds::builder()
        .namespace("suite")
        .recovery(RecoveryOptions::new().elsewhere());
    S::register(builder, urls, pool, options)
        .await
        .build()
        .unwrap()
}

/// Tuples of sides.
macro_rules! sides {
    ($($side:ident $index:literal),+) => {
        impl<$($side: Side),+> Sides for ($($side,)+) {
            async fn databases() -> Vec<Database> {
                vec![$($side::database().await),+]
            }

            fn keys() -> Vec<&'static str> {
                vec![$(<$side::Bind as Bind>::KEY),+]
            }

            async fn register(
                builder: BindsBuilder,
                urls: &[String],
                pool: PoolKind,
                options: &BindOptions,
            ) -> BindsBuilder {
                $(let builder = $side::register(builder, &urls[$index], pool, 4, options.clone()).await;)+
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

            async fn commit(index: usize, session: &mut Session) -> Result<Committed, Error> {
                match index {
                    $($index => session.commit($side::bind()).await,)+
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
