//! The database of a bind, as the application gives it. It is looked up only when the registry is built.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::backend::Connection;
use crate::bind::Bind;
use crate::config::{BindOptions, Place, PoolOptions, Setup};
use crate::pool::{FromUrl, IntoPool, Pool, sealed};
use crate::registry::builder::pending::{BindId, Placement, UnresolvedUrl, UrlSource};
use crate::registry::problem::BuildProblem;

/// The source of a bind's connections: a pool, a URL, an environment variable, or the connection of another bind.
///
/// Pass it to [`BindsBuilder::bind`](crate::BindsBuilder::bind), which also takes a pool itself.
///
/// # Example
///
/// ```no_run
/// # #[cfg(all(feature = "sqlite", feature = "deadpool"))]
/// # mod example {
/// use diesel_binds::{AsyncSqliteConnection, Bind, Binds, BuildError, PoolOptions, Source};
///
/// #[derive(Bind)]
/// #[bind(key = "accounts", connection = AsyncSqliteConnection)]
/// pub struct Accounts;
///
/// #[derive(Bind)]
/// #[bind(key = "audit", connection = AsyncSqliteConnection)]
/// pub struct Audit;
///
/// fn binds() -> Result<Binds, BuildError> {
///     Binds::builder()
///         .bind(Accounts, Source::env().pool_options(PoolOptions::new().max_size(4)))
///         .bind(Audit, Source::shared_with(Accounts))
///         .build()
/// }
/// # }
/// ```
#[must_use = "a source does nothing before it is given to `BindsBuilder::bind`"]
pub struct Source<C> {
    at: At<C>,
    attach_to: Option<BindId>,
    pool_options: Option<PoolOptions>,
    setup: Option<Arc<Setup<C>>>,
    options: Option<BindOptions>,
}

enum At<C> {
    Pool(Box<dyn Pool<C>>),
    Url(UrlSource, ByUrl<C>),
    Shared(BindId),
}

/// The functions of [`FromUrl`].
struct ByUrl<C> {
    opener: fn(Place) -> Arc<Setup<C>>,
    pool: MakePool<C>,
}

/// Makes a pool whose connections are opened by a function, for a URL.
type MakePool<C> = fn(&str, Arc<Setup<C>>, &PoolOptions) -> Box<dyn Pool<C>>;

/// A source of connections `C`: a [`Source`], or a pool of deadpool or bb8. Sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a pool of the connections of this bind",
    label = "not a pool of `{C}`",
    note = "pass a pool of deadpool or bb8, with the feature of that name turned on, of the connection type in `#[bind(connection = …)]`",
    note = "a URL is passed as `Source::url(..)`, the variable `<KEY>_DATABASE_URL` as `Source::env()`"
)]
pub trait IntoSource<C> {
    #[doc(hidden)]
    fn into_source(self) -> Source<C>;
}

impl<C> IntoSource<C> for Source<C> {
    fn into_source(self) -> Self {
        self
    }
}

#[diagnostic::do_not_recommend]
impl<C: Connection, P: IntoPool<C> + sealed::Sealed> IntoSource<C> for P {
    fn into_source(self) -> Source<C> {
        Source::pool(self)
    }
}

impl<C: Connection> Source<C> {
    /// Uses a pool of deadpool or bb8. [`bind`](crate::BindsBuilder::bind) also takes the pool itself, if it has no
    /// [`options`](Self::options).
    pub fn pool(pool: impl IntoPool<C>) -> Self {
        Self::at(At::Pool(pool.into_pool()))
    }

    /// Makes a pool for a URL, of deadpool if that feature is on, otherwise of bb8, which needs a tokio runtime around
    /// [`build`](crate::BindsBuilder::build).
    pub fn url(url: impl Into<String>) -> Self
    where
        C: FromUrl,
    {
        Self::by_url(UrlSource::Url(url.into()))
    }

    /// Makes a pool for the URL in the environment. The variable is the one that the
    /// [manifest](crate::BindsBuilder::manifest) names for the bind. Otherwise it follows from the key:
    /// `ACCOUNTS_DATABASE_URL` for the key `accounts`.
    pub fn env() -> Self
    where
        C: FromUrl,
    {
        Self::by_url(UrlSource::Env)
    }

    /// Makes a pool for the URL in this environment variable.
    pub fn env_var(variable: impl Into<String>) -> Self
    where
        C: FromUrl,
    {
        Self::by_url(UrlSource::Variable(variable.into()))
    }

    /// Uses the database of another bind: both share one connection in each session, and so one transaction.
    ///
    /// Saves a connection and a prepare, and keeps a unit from waiting for its own locks.
    pub fn shared_with<With: Bind<Connection = C>>(_: With) -> Self {
        Self::at(At::Shared(BindId::of::<With>()))
    }

    fn by_url(source: UrlSource) -> Self
    where
        C: FromUrl,
    {
        let by_url = ByUrl {
            opener: C::opener,
            pool: C::pool,
        };
        Self::at(At::Url(source, by_url))
    }

    fn at(at: At<C>) -> Self {
        Self {
            at,
            attach_to: None,
            pool_options: None,
            setup: None,
            options: None,
        }
    }

    /// Attaches the SQLite file to the connection of another bind, under the key of this one, instead of a pool of its
    /// own. SQLite itself commits both files as one.
    ///
    /// Needs a rollback journal, and `synchronous` not `OFF`. Otherwise a crash could commit one file without the
    /// other, so the begin of a transaction is refused. It is also refused if two files have a table of the same name,
    /// because a query would use whichever file SQLite finds first.
    ///
    /// The schema of the file is the key of the bind. SQLite finds a table in any of the files, but creates one in the
    /// named schema: `CREATE TABLE ledger.entries (…)`. Without a schema, the table is created in the file of `To`.
    /// Errors and reports name the key of `To`, which owns the connection.
    #[cfg(feature = "sqlite")]
    pub fn attach_to<To: Bind<Connection = C>>(mut self, _: To) -> Self {
        self.attach_to = Some(BindId::of::<To>());
        self
    }

    /// Sets the size and the timeouts of the pool that is made of a URL.
    pub fn pool_options(mut self, options: PoolOptions) -> Self {
        self.pool_options = Some(options);
        self
    }

    /// Sets the function that opens a connection by the URL: with TLS, for instance.
    pub fn setup<F>(mut self, setup: F) -> Self
    where
        F: for<'a> Fn(&'a str) -> BoxFuture<'a, diesel::ConnectionResult<C>>
            + Send
            + Sync
            + 'static,
    {
        self.setup = Some(Arc::new(setup));
        self
    }

    /// Sets the options of the bind.
    pub fn options(mut self, options: BindOptions) -> Self {
        self.options = Some(options);
        self
    }

    /// Returns the placement of the bind, without its connection type.
    pub(super) fn place(self, bind: &'static str) -> Result<Placement, BuildProblem> {
        if let Some(option) = self.without_effect() {
            return Err(BuildProblem::WithoutEffect { bind, option });
        }
        let (setup, options) = (self.setup, self.options.unwrap_or_default());
        Ok(match self.at {
            At::Pool(pool) => Placement::own(bind, pool, options, None, None),
            At::Shared(with) => Placement::Shared { with, path: None },
            At::Url(source, by_url) => Placement::Unresolved(UnresolvedUrl {
                source,
                attach_to: self.attach_to,
                has_setup: setup.is_some(),
                open: Box::new(move |place| {
                    let (url, tls) = (place.url.clone(), place.tls.clone());
                    let open = setup.clone().unwrap_or_else(|| (by_url.opener)(place));
                    let pooling = self.pool_options.unwrap_or_default();
                    let pool = (by_url.pool)(&url, open, &pooling);
                    Placement::own(bind, pool, options, setup, tls)
                }),
            }),
        })
    }

    /// Returns the name of a method that was called but has no effect on this source.
    fn without_effect(&self) -> Option<&'static str> {
        let has_pool = !matches!(self.at, At::Shared(_)) && self.attach_to.is_none();
        let makes_pool = has_pool && !matches!(self.at, At::Pool(_));
        [
            (self.pool_options.is_some() && !makes_pool, "pool_options"),
            (self.setup.is_some() && !makes_pool, "setup"),
            (self.options.is_some() && !has_pool, "options"),
            (
                self.attach_to.is_some() && !matches!(self.at, At::Url(..)),
                "attach_to",
            ),
        ]
        .into_iter()
        .find_map(|(is_so, option)| is_so.then_some(option))
    }
}

impl<C> fmt::Debug for Source<C> {
    /// Writes no URL, which may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}
