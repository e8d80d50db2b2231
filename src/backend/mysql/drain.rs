//! Reading what is left of a reply, without sending a statement.
//!
//! A procedure may return several results. The driver hands out the rows of the first, keeps an error of a later one to
//! itself, and gives it to whoever sends something next: the wrong statement would fail. It reads to the end of the
//! reply before it closes a statement on the server, which has no reply, and which the server counts as none.

use diesel::QueryResult;
use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::Error;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::Text;
use diesel_async::{AsyncMysqlConnection, RunQueryDsl as _};

use crate::trace::REST_OF_REPLY;

/// A query that is never sent: diesel-async closes the statement before, and then finds that a parameter has no value.
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

/// Why nothing is sent.
#[derive(Debug, thiserror::Error)]
#[error("nothing is to be sent")]
struct Unsent;

impl ToSql<Text, Mysql> for NoValue {
    fn to_sql<'b>(&'b self, _: &mut Output<'b, '_, Mysql>) -> serialize::Result {
        Err(Unsent.into())
    }
}

/// Reads it. An error is that of the statement before.
pub(super) async fn drain(connection: &mut AsyncMysqlConnection) -> QueryResult<()> {
    match NeverSent.execute(connection).await {
        Err(Error::SerializationError(error)) if error.is::<Unsent>() => Ok(()),
        other => other.map(drop),
    }
}
