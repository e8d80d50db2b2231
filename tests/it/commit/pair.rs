//! Two binds with options of their own, and assertions about them.

use std::marker::PhantomData;

use diesel::ConnectionResult;
use diesel_async::{AsyncConnection as _, SimpleAsyncConnection as _};
use diesel_binds::error::Fault;
use diesel_binds::{
    AsyncSqliteConnection, BindOptions, Binds, Commit, CommitError, Error, Session,
};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use kit::database::Database;
use kit::prepared::prepared;
use kit::side::Side;
use kit::world::World;

/// Binds of the sides `A` and `B`.
pub(crate) struct Pair<A, B> {
    pub(crate) binds: Binds,
    pub(crate) first: Database,
    pub(crate) second: Database,
    sides: PhantomData<(A, B)>,
}

impl<A: Side, B: Side> Pair<A, B> {
    pub(crate) async fn new() -> Self {
        Self::with(BindOptions::new(), BindOptions::new()).await
    }

    pub(crate) async fn with(of_first: BindOptions, of_second: BindOptions) -> Self {
        let (first, second) = (A::database().await, B::database().await);
        let (one, two) = (first.url().to_owned(), second.url().to_owned());
        Self::over(first, &one, of_first, second, &two, of_second).await
    }

    /// Connects through URLs that may lead through proxies.
    pub(crate) async fn over(
        first: Database,
        one: &str,
        of_first: BindOptions,
        second: Database,
        two: &str,
        of_second: BindOptions,
    ) -> Self {
        let builder = World::builder::<(A, B)>()
            .options_of(0, of_first)
            .options_of(1, of_second)
            .binds(|binds| binds.namespace("pair"));
        Self {
            binds: builder.connect(&[one.to_owned(), two.to_owned()]).await,
            first,
            second,
            sides: PhantomData,
        }
    }

    pub(crate) async fn write(&self, session: &Session, text: &str) -> Result<(), Error> {
        A::write(session, text).await?;
        B::write(session, text).await?;
        Ok(())
    }

    /// Returns the rows of both databases.
    pub(crate) async fn rows(&self) -> (Vec<String>, Vec<String>) {
        (A::rows(&self.first).await, B::rows(&self.second).await)
    }

    /// Commits. Asserts that both databases then have these rows, and that nothing is left prepared.
    pub(crate) async fn commits(&self, session: &mut Session, rows: &[&str]) -> Commit {
        let unit = session.unit();
        let committed = session.commit_all().await.unwrap();
        assert!(committed.committed().unwrap().pending().is_empty());
        self.holds(unit, rows).await;
        committed
    }

    /// Asserts that the commit fails because of a bind, that both databases then have these rows, and that nothing is
    /// left prepared.
    pub(crate) async fn rolls_back(
        &self,
        session: &mut Session,
        because: &str,
        rows: &[&str],
    ) -> Fault {
        let unit = session.unit();
        let error = session.commit_all().await.unwrap_err();
        self.holds(unit, rows).await;
        let CommitError::RolledBack {
            bind,
            pending,
            source,
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!(bind, because, "{source:?}");
        assert!(pending.is_empty(), "{source:?}");
        source
    }

    pub(crate) async fn holds(&self, unit: diesel_binds::UnitId, rows: &[&str]) {
        let (first, second) = self.rows().await;
        assert_eq!(first, rows);
        assert_eq!(second, rows);
        for database in [&self.first, &self.second] {
            assert_eq!(prepared(database.url(), unit).await, []);
        }
    }
}

/// Returns whether the message of the fault or of one of its causes contains these words.
pub(crate) fn says(fault: &Fault, words: &str) -> bool {
    let mut next: Option<&dyn std::error::Error> = Some(fault);
    while let Some(error) = next {
        if error.to_string().contains(words) {
            return true;
        }
        next = error.source();
    }
    false
}

/// Opens a SQLite file, and runs statements on each connection.
pub(crate) fn sqlite_with(
    setup: &'static str,
) -> impl for<'a> Fn(&'a str) -> BoxFuture<'a, ConnectionResult<AsyncSqliteConnection>> + Send + Sync
{
    move |path| {
        async move {
            let mut connection = AsyncSqliteConnection::establish(path).await?;
            connection
                .batch_execute(setup)
                .await
                .expect("the statements run");
            Ok(connection)
        }
        .boxed()
    }
}
