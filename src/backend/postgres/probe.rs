//! Queries on the transaction of a unit before it ends, which stay prepared.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::Text;
use diesel::{QueryResult, define_sql_function};

// Typed functions rather than SQL literals: Diesel caches their statements, so that asking costs one round trip.
define_sql_function! {
    #[sql_name = "pg_catalog.txid_current_if_assigned"]
    fn txid_current_if_assigned() -> Nullable<BigInt>;
}
define_sql_function! {
    #[sql_name = "pg_catalog.current_setting"]
    fn current_setting(name: Text) -> Text;
}

/// A query that reads the marker as `SHOW` does, which takes no snapshot: `SET TRANSACTION` of the application may
/// follow.
///
/// A query with a type of its own stays prepared in Diesel.
#[derive(QueryId)]
pub(super) struct ShowMarker;

impl Query for ShowMarker {
    type SqlType = Text;
}

impl QueryFragment<Pg> for ShowMarker {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SHOW diesel_binds.unit");
        Ok(())
    }
}
