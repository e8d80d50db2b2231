//! Reading the rest of a reply, without sending a statement.
//!
//! A procedure may return several results. The driver returns the rows of the first. It keeps an error of a later one,
//! and returns it to the next caller that sends something: the wrong statement would fail. Before it closes a statement
//! on the server, it reads to the end of the reply. That request has no reply, and the server does not count it as a
//! statement.

use diesel::QueryResult;
use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::Error;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::Text;
use diesel_async::{AsyncMysqlConnection, RunQueryDsl as _};

use crate::trace::REST_OF_REPLY;

/// A query that is never sent: diesel-async closes the previous statement, and then finds that a parameter has no
/// value.
#[derive(QueryId)]
struct NeverSent;

impl Query for NeverSent {
    type SqlType = Text;
}

impl QueryFragment<Mysql> for NeverSent {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql(REST_OF_REPLY);
        out.push_bind_param::<Text, _>(&NoValue)
    }
}

#[derive(Debug)]
struct NoValue;

/// The error that prevents sending.
#[derive(Debug, thiserror::Error)]
#[error("nothing is to be sent")]
struct Unsent;

impl ToSql<Text, Mysql> for NoValue {
    fn to_sql<'b>(&'b self, _: &mut Output<'b, '_, Mysql>) -> serialize::Result {
        Err(Unsent.into())
    }
}

/// Reads the rest of the reply. An error is that of the previous statement.
pub(super) async fn drain(connection: &mut AsyncMysqlConnection) -> QueryResult<()> {
    match NeverSent.execute(connection).await {
        Err(Error::SerializationError(error)) if error.is::<Unsent>() => Ok(()),
        other => other.map(drop),
    }
}
