//! Code that is generic over binds, tables and models.

use binds::query::{Execute, Load, On};
use binds::{AsyncSqliteConnection, Bind, Bound, Error, RunQueryDsl, Session};
use diesel::dsl::{CountStar, Select};
use diesel::query_builder::{QueryId, SqlQuery};
use diesel::query_dsl::methods::SelectDsl;
use diesel_async::methods::LoadQuery;

/// Counts the rows of a table of a bind on SQLite.
pub async fn count<B, T>(session: &Session, table: T) -> Result<i64, Error>
where
    B: Bind<Connection = AsyncSqliteConnection>,
    T: SelectDsl<CountStar>,
    Select<T, CountStar>:
        Bound<Bind = B> + QueryId + LoadQuery<'static, AsyncSqliteConnection, i64> + Send + 'static,
{
    let count = table.select(diesel::dsl::count_star());
    count.get_result(session).await
}

/// Counts the rows of a table, whatever its database.
pub async fn count_anywhere<T>(session: &Session, table: T) -> Result<i64, Error>
where
    T: SelectDsl<CountStar>,
    Select<T, CountStar>: QueryId + Send + 'static,
    Session: Load<'static, Select<T, CountStar>, i64>,
{
    let count = table.select(diesel::dsl::count_star());
    count.get_result(session).await
}

/// Runs SQL on a bind, whatever its database.
pub async fn execute<B: Bind>(session: &Session, bind: B, sql: &str) -> Result<usize, Error>
where
    for<'s> On<'s, B>: Execute<'static, SqlQuery>,
{
    diesel::sql_query(sql).execute(&session.on(bind)).await
}

/// The bind of a model or a table.
pub fn key<T: Bound>() -> &'static str {
    T::Bind::KEY
}
