//! Binds with their types: on a pool, by a URL, or where another one is.

#[cfg(any(feature = "deadpool", feature = "bb8"))]
use std::sync::Arc;

use crate::backend::{Backend, Dialect as _};
use crate::bind::Bind;
use crate::config::BindOptions;
use crate::config::UrlProblem;
#[cfg(any(feature = "deadpool", feature = "bb8", feature = "sqlite"))]
use crate::config::check_url;
#[cfg(any(feature = "deadpool", feature = "bb8"))]
use crate::config::{Pooling, Setup};
#[cfg(any(feature = "deadpool", feature = "bb8"))]
use crate::pool::FromUrl;
use crate::pool::{IntoPool, Pool};
use crate::registry::builder::BindsBuilder;
use crate::registry::builder::pending::{Pending, Place, Who};
use crate::registry::problem::BuildProblem;

impl BindsBuilder {
    /// Registers a bind with a pool of deadpool or bb8.
    pub fn bind<B: Bind>(self, pool: impl IntoPool<B::Connection>) -> Self {
        self.bind_with::<B>(pool, BindOptions::default())
    }

    /// Registers a bind with a pool, and says how it takes part.
    pub fn bind_with<B: Bind>(
        mut self,
        pool: impl IntoPool<B::Connection>,
        options: BindOptions,
    ) -> Self {
        self.add::<B>(pool.into_pool(), options);
        self
    }

    /// Registers a bind with a URL; its pool is of deadpool where that feature is on, else of bb8 (which must be made
    /// within a runtime).
    #[cfg(any(feature = "deadpool", feature = "bb8"))]
    pub fn bind_url<B: Bind>(self, url: impl AsRef<str>) -> Self
    where
        B::Connection: FromUrl,
    {
        self.bind_url_with::<B>(url, Pooling::default(), BindOptions::default())
    }

    /// Registers a bind with a URL, and says how its pool is and how it takes part.
    #[cfg(any(feature = "deadpool", feature = "bb8"))]
    pub fn bind_url_with<B: Bind>(
        mut self,
        url: impl AsRef<str>,
        pooling: Pooling,
        options: BindOptions,
    ) -> Self
    where
        B::Connection: FromUrl,
    {
        self.add_url::<B::Connection>(Who::of::<B>(), url.as_ref(), None, &pooling, options);
        self
    }

    /// Registers a bind with a URL and the function that opens a connection by it: with TLS, for instance.
    #[cfg(any(feature = "deadpool", feature = "bb8"))]
    pub fn bind_with_setup<B, F>(
        mut self,
        url: impl AsRef<str>,
        setup: F,
        pooling: Pooling,
        options: BindOptions,
    ) -> Self
    where
        B: Bind,
        B::Connection: FromUrl,
        F: for<'a> Fn(
                &'a str,
            ) -> futures_util::future::BoxFuture<
                'a,
                diesel::ConnectionResult<B::Connection>,
            > + Send
            + Sync
            + 'static,
    {
        let setup: Arc<Setup<B::Connection>> = Arc::new(setup);
        self.add_url(Who::of::<B>(), url.as_ref(), Some(setup), &pooling, options);
        self
    }

    /// Registers a bind with the URL in the environment: `ACCOUNTS_DATABASE_URL` for the key `accounts`, or the variable
    /// that the manifest names (`manifest`).
    #[cfg(any(feature = "deadpool", feature = "bb8"))]
    pub fn bind_env<B: Bind>(mut self) -> Self
    where
        B::Connection: FromUrl,
    {
        match self.url_in_environment(Who::of::<B>(), B::Connection::BACKEND) {
            Ok(url) => self.bind_url::<B>(url),
            Err(problem) => {
                self.broken(Who::of::<B>(), B::Connection::BACKEND, problem);
                self
            }
        }
    }

    /// Registers a bind whose tables are in the database of `With`: both share one connection in each session, and so
    /// one transaction.
    ///
    /// Saves a connection and a prepare, and keeps a unit from waiting for its own locks.
    pub fn same_as<B, With>(mut self) -> Self
    where
        B: Bind<Connection = With::Connection>,
        With: Bind,
    {
        let place = Place::Shared {
            with: Who::of::<With>(),
            path: None,
        };
        self.push(Who::of::<B>(), B::Connection::BACKEND, place);
        self
    }

    /// Registers a bind whose SQLite file is attached to the connection of `To`, under its key: both files commit as
    /// one, by SQLite itself.
    ///
    /// Needs a rollback journal: in WAL a crash tears the two, so that is refused when a transaction begins. So are
    /// two files that have a table of the same name, because a query would reach one of them by accident.
    ///
    /// The schema of the file is the key of the bind. SQLite finds a table in whichever file has it, but creates one
    /// where it is told to: `CREATE TABLE ledger.entries (…)`; without the schema it lands in the file of `To`. Errors
    /// and reports name the key of `To`, whose connection it is.
    #[cfg(feature = "sqlite")]
    pub fn attach<B, To>(mut self, path: impl Into<String>) -> Self
    where
        B: Bind<Connection = To::Connection>,
        To: Bind,
    {
        let (who, to) = (Who::of::<B>(), Who::of::<To>());
        self.add_attached(who, to, To::Connection::BACKEND, &path.into());
        self
    }

    fn add<B: Bind>(&mut self, pool: Box<dyn Pool<B::Connection>>, options: BindOptions) {
        let backend = B::Connection::BACKEND;
        self.push(Who::of::<B>(), backend, Place::own(B::KEY, pool, options));
    }

    #[cfg(any(feature = "deadpool", feature = "bb8"))]
    pub(super) fn add_url<C: FromUrl>(
        &mut self,
        who: Who,
        url: &str,
        setup: Option<Arc<Setup<C>>>,
        pooling: &Pooling,
        options: BindOptions,
    ) {
        let bind = who.key;
        let problem = match check_url(C::BACKEND, url) {
            Err(UrlProblem::TlsUnsupported) if setup.is_some() => None,
            result => result.err(),
        };
        match problem {
            None => {
                let place = Place::own(bind, C::pool(url, setup, pooling), options);
                self.push(who, C::BACKEND, place);
            }
            Some(problem) => self.broken(who, C::BACKEND, BuildProblem::Url { bind, problem }),
        }
    }

    #[cfg(feature = "sqlite")]
    pub(super) fn add_attached(&mut self, who: Who, to: Who, backend: Backend, path: &str) {
        let bind = who.key;
        if backend != Backend::Sqlite {
            let problem = UrlProblem::WrongBackend {
                scheme: "(file)".into(),
                backend,
            };
            self.broken(who, backend, BuildProblem::Url { bind, problem });
        } else if let Err(problem) = check_url(Backend::Sqlite, path) {
            self.broken(who, backend, BuildProblem::Url { bind, problem });
        } else if matches!(bind, "main" | "temp") {
            self.broken(who, backend, BuildProblem::ReservedKey { key: bind });
        } else {
            let path = Some(path.strip_prefix("sqlite://").unwrap_or(path).to_owned());
            self.push(who, backend, Place::Shared { with: to, path });
        }
    }

    #[cfg(any(feature = "deadpool", feature = "bb8", feature = "sqlite"))]
    pub(super) fn broken(&mut self, who: Who, backend: Backend, problem: BuildProblem) {
        self.problems.push(problem);
        self.push(who, backend, Place::Broken);
    }

    pub(super) fn push(&mut self, who: Who, backend: Backend, place: Place) {
        self.binds.push(Pending {
            who,
            backend,
            place,
        });
    }
}
