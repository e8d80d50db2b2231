//! Methods that run Diesel's queries: on a session, on a bind of it, or on one of its connections.

use std::marker::PhantomData;
use std::pin::pin;
use std::sync::atomic::Ordering;

use diesel::associations::HasTable;
use diesel::backend::Backend;
use diesel::query_builder::{AsChangeset, IntoUpdateTarget, QueryFragment, QueryId};
use diesel::query_dsl::methods::LimitDsl;
use diesel_async::methods::{ExecuteDsl, LoadQuery};
use diesel_async::{AsyncConnectionCore, UpdateAndFetchResults};
use futures_util::stream::{Stream, StreamExt as _, TryStreamExt as _};

use crate::backend::Kept;
use crate::bind::{Access, Bind, Bound, Typed};
use crate::error::{Error, Waiting};
use crate::session::Session;
use crate::session::claim::{AsClaim, run};
use crate::session::target::Target;

/// The methods that run a query, as in Diesel, with a session in the place of a connection.
///
/// The compiler infers `Form`, as it does for [`Bound`](crate::Bound).
///
/// Import the trait by name, as with diesel-async: two traits of this name in scope are ambiguous. Without the import,
/// `diesel::prelude::*` gives the trait of Diesel. The compiler then reports E0308 ("types differ in mutability") for a
/// `&Session`, E0277 (`Session: LoadConnection`) for a `&mut Session`, and advises to remove the `.await`. Add
/// `use diesel_binds::RunQueryDsl;` instead.
///
/// # Cancel safety
///
/// If the future of a method is dropped before its reply was read, the unit becomes abort-only. This also holds while
/// the method waits for the pool or for another statement: a unit does not commit if a requested statement did not
/// complete. The unit also becomes abort-only if the pool gives no connection, or the transaction cannot begin.
pub trait RunQueryDsl<Form = Typed>: Sized {
    /// Runs the query and returns all its rows.
    ///
    /// # Errors
    ///
    /// [`Error::Query`] if the query fails; the other variants of [`Error`] if it could not run.
    fn load<'q, U>(
        self,
        on: &impl Load<'q, Self, U, Form>,
    ) -> impl Future<Output = Result<Vec<U>, Error>> + Send
    where
        Self: Send + 'q,
        U: Send,
    {
        on.run_load(self)
    }

    /// Runs the query and returns all its rows, as [`load`](Self::load) does.
    ///
    /// # Errors
    ///
    /// See [`load`](Self::load).
    fn get_results<'q, U>(
        self,
        on: &impl Load<'q, Self, U, Form>,
    ) -> impl Future<Output = Result<Vec<U>, Error>> + Send
    where
        Self: Send + 'q,
        U: Send,
    {
        on.run_load(self)
    }

    /// Runs the query and returns its first row.
    ///
    /// # Errors
    ///
    /// [`Error::Query`] with Diesel's `NotFound` if there is no row: see [`optional`](crate::OptionalExt::optional).
    /// Otherwise see [`load`](Self::load).
    fn get_result<'q, U>(
        self,
        on: &impl Load<'q, Self, U, Form>,
    ) -> impl Future<Output = Result<U, Error>> + Send
    where
        Self: Send + 'q,
        U: Send,
    {
        on.run_get_result(self)
    }

    /// Runs the query with `LIMIT 1` and returns its row.
    ///
    /// # Errors
    ///
    /// See [`get_result`](Self::get_result).
    fn first<'q, U>(
        self,
        on: &impl Load<'q, diesel::dsl::Limit<Self>, U, Form>,
    ) -> impl Future<Output = Result<U, Error>> + Send
    where
        Self: LimitDsl + Send + 'q,
        diesel::dsl::Limit<Self>: Send + 'q,
        U: Send,
    {
        on.run_get_result(LimitDsl::limit(self, 1))
    }

    /// Runs the query and returns its rows as they arrive. The stream holds the bind until it is dropped: other queries
    /// on the bind fail with [`Error::BindBusy`].
    ///
    /// On SQLite, all rows are read into memory before the first one is returned, because diesel-async runs each
    /// statement there in one piece. Read a result that is larger than memory in pages by its key:
    /// `filter(id.gt(last)).order(id).limit(1000)`. All pages show one state of the data within the unit.
    ///
    /// # Errors
    ///
    /// See [`load`](Self::load). This method fails if the query could not run, and the stream fails if the query does.
    ///
    /// # Cancel safety
    ///
    /// A stream that is dropped between two rows changes nothing. One that is dropped while it waits for a row makes
    /// the unit abort-only.
    fn load_stream<'t, 'q, U>(
        self,
        on: &'t impl Load<'q, Self, U, Form>,
    ) -> impl Future<Output = Result<impl Stream<Item = Result<U, Error>> + Send + 't, Error>> + Send
    where
        Self: Send + 'q,
        U: Send + 't,
        'q: 't,
    {
        on.run_load_stream(self)
    }

    /// Runs the statement and returns the number of rows that it changed.
    ///
    /// On SQLite, this library runs inserts of several rows on the thread of the connection, because diesel-async does
    /// not support them. So the rows must be owned: `values(vec![…])`. An insert that returns its rows or handles
    /// conflicts takes one row at a time there.
    ///
    /// # Errors
    ///
    /// See [`load`](Self::load).
    fn execute<'q, Via>(
        self,
        on: &(impl Target<Self, Form> + Execute<'q, Self, Via>),
    ) -> impl Future<Output = Result<usize, Error>> + Send
    where
        Self: Send + 'q,
    {
        on.run_execute(self)
    }
}

// Diesel runs only queries with a `QueryId`. An implementation for every type would hide `load` of an
// `Arc<AtomicBool>`.
impl<Q: QueryId, Form> RunQueryDsl<Form> for Q {}

/// A target that rows `U` of a query `Q` can be loaded from.
#[diagnostic::on_unimplemented(
    message = "no query can be run on `{Self}`",
    label = "not a session",
    note = "pass a `Session`, `session.on(Bind)`, or the result of `session.connection(Bind)`, each by reference"
)]
pub trait Load<'q, Q, U, Form = Typed>: Sync {
    #[doc(hidden)]
    fn run_load(&self, query: Q) -> impl Future<Output = Result<Vec<U>, Error>> + Send;

    #[doc(hidden)]
    fn run_get_result(&self, query: Q) -> impl Future<Output = Result<U, Error>> + Send;

    #[doc(hidden)]
    fn run_load_stream<'t>(
        &'t self,
        query: Q,
    ) -> impl Future<Output = Result<impl Stream<Item = Result<U, Error>> + Send + 't, Error>> + Send
    where
        'q: 't,
        Q: 't,
        U: 't;
}

/// A target that a statement `Q` can be executed on.
///
/// The compiler infers `Via`, the way to run the statement: directly, unless diesel-async cannot run it.
#[diagnostic::on_unimplemented(
    message = "this cannot be executed on `{Self}`",
    label = "not a session, or the backend of its bind does not support this statement",
    note = "pass a `Session`, `session.on(Bind)`, or the result of `session.connection(Bind)`, each by reference"
)]
pub trait Execute<'q, Q, Via = Direct>: Sync {
    #[doc(hidden)]
    fn run_execute(&self, query: Q) -> impl Future<Output = Result<usize, Error>> + Send;
}

/// The marker of statements that diesel-async runs.
#[derive(Debug)]
pub struct Direct<Form = Typed>(PhantomData<Form>);

type ConnectionOf<T, Q, Form> = <<T as Target<Q, Form>>::Bind as Bind>::Connection;

impl<'q, T, Q, U, Form: 'static> Load<'q, Q, U, Form> for T
where
    T: Target<Q, Form>,
    Q: LoadQuery<'q, ConnectionOf<T, Q, Form>, U> + Send + 'q,
    U: Send,
{
    #[doc(hidden)]
    async fn run_load(&self, query: Q) -> Result<Vec<U>, Error> {
        let mut claim = self.claim().await?;
        let loading = run(&mut claim, async |connection| {
            let rows = crate::backend::internals::load(query, connection).await?;
            rows.try_collect().await
        });
        loading.await
    }

    #[doc(hidden)]
    async fn run_get_result(&self, query: Q) -> Result<U, Error> {
        let mut claim = self.claim().await?;
        let loading = run(&mut claim, async |connection| {
            let rows = crate::backend::internals::load(query, connection).await?;
            let mut rows = pin!(rows);
            let first = rows.try_next().await?;
            let first = first.ok_or(diesel::result::Error::NotFound)?;
            // An error in a later row belongs to this query and to no other.
            while let Some(later) = rows.next().await {
                if let Err(error @ diesel::result::Error::DatabaseError(..)) = later {
                    return Err(error);
                }
            }
            Ok(first)
        });
        loading.await
    }

    #[doc(hidden)]
    async fn run_load_stream<'t>(
        &'t self,
        query: Q,
    ) -> Result<impl Stream<Item = Result<U, Error>> + Send + 't, Error>
    where
        'q: 't,
        Q: 't,
        U: 't,
    {
        let mut claim = self.claim().await?;
        claim.hold();
        Ok(stream(claim, query))
    }
}

impl<'q, T, Q, Form> Execute<'q, Q, Direct<Form>> for T
where
    T: Target<Q, Form>,
    ConnectionOf<T, Q, Form>: AsyncConnectionCore<Backend: Backend<QueryBuilder: Default>>,
    Q: ExecuteDsl<ConnectionOf<T, Q, Form>>
        + QueryFragment<<ConnectionOf<T, Q, Form> as AsyncConnectionCore>::Backend>
        + QueryId
        + Send
        + 'q,
{
    async fn run_execute(&self, query: Q) -> Result<usize, Error> {
        let mut claim = self.claim().await?;
        let writes = claim.kept_writes();
        let executing = run(&mut claim, async |connection| {
            // Diesel keeps a statement with a static id by itself, and finds it faster.
            if Q::HAS_STATIC_QUERY_ID {
                return ExecuteDsl::execute(query, connection).await;
            }
            ExecuteDsl::execute(Kept { query, writes }, connection).await
        });
        executing.await
    }
}

/// Returns the rows of a query as a stream, which holds the bind until it is dropped.
fn stream<'t, 'q, C, Q, U>(
    mut claim: impl AsClaim<C> + 't,
    query: Q,
) -> impl Stream<Item = Result<U, Error>> + Send + 't
where
    C: crate::backend::Connection,
    Q: LoadQuery<'q, C, U> + Send + 't,
    U: Send + 't,
    'q: 't,
{
    async_stream::try_stream! {
        let (deadline, key) = (claim.deadline(), claim.key());
        let end = {
            let (connection, between_rows) = claim.start_rows()?;
            let rows = deadline
                .bound(key, Waiting::Statement, crate::backend::internals::load(query, connection))
                .await;
            match rows {
                Ok(Ok(rows)) => {
                    let mut rows = pin!(rows);
                    loop {
                        between_rows.store(false, Ordering::SeqCst);
                        match deadline.bound(key, Waiting::Statement, rows.try_next()).await {
                            Ok(Ok(Some(row))) => {
                                between_rows.store(true, Ordering::SeqCst);
                                yield row;
                            }
                            Ok(Ok(None)) => break Ok(Ok(())),
                            Ok(Err(error)) => break Ok(Err(error)),
                            Err(late) => break Err(late),
                        }
                    }
                }
                Ok(Err(error)) => Ok(Err(error)),
                Err(late) => Err(late),
            }
        };
        claim.complete(end).await?;
    }
}

/// A method that saves a changed model, as in Diesel, with a session in the place of a connection.
///
/// On SQLite, the row is returned by `RETURNING`: turn on Diesel's feature `returning_clauses_for_sqlite_3_35` (the
/// feature `sqlite-bundled` does).
pub trait SaveChangesDsl: Sized {
    /// Updates the row of this model and returns the updated row.
    ///
    /// # Errors
    ///
    /// [`Error::Query`] if the update fails or finds no row; the other variants of [`Error`] if it could not run.
    ///
    /// # Cancel safety
    ///
    /// See [`RunQueryDsl`].
    fn save_changes<U>(self, session: &Session) -> impl Future<Output = Result<U, Error>> + Send
    where
        Self: diesel::Identifiable + HasTable + Send,
        <Self as HasTable>::Table: Bound,
        ConnectionOfTable<<Self as HasTable>::Table>: UpdateAndFetchResults<Self, U>,
        U: Send,
    {
        async move {
            let mut claim = session
                .claim_bind::<<<Self as HasTable>::Table as Bound>::Bind>(Access::Write)
                .await?;
            let saving = run(&mut claim, async |connection| {
                connection.update_and_fetch(self).await
            });
            saving.await
        }
    }
}

/// The connection of the bind of a table.
type ConnectionOfTable<T> = <<T as Bound>::Bind as Bind>::Connection;

impl<T> SaveChangesDsl for T where
    T: Copy + AsChangeset<Target = <T as HasTable>::Table> + IntoUpdateTarget
{
}
