//! Inserts of several rows on SQLite, which diesel-async does not support.

use diesel::QuerySource;
use diesel::query_builder::{BatchInsert, InsertStatement};

use crate::backend::InsertRows;
use crate::bind::Bind;
use crate::error::Error;
use crate::session::claim::run;
use crate::session::run::Execute;
use crate::session::target::Target;

/// The marker of statements that the backend runs itself.
#[derive(Debug)]
pub enum ByBackend {}

type Rows<Table, V, Id, Op, const STATIC: bool> =
    InsertStatement<Table, BatchInsert<V, Table, Id, STATIC>, Op>;

// For each insert, either diesel-async or the backend has an implementation, never both. So the compiler finds the one
// that applies.
impl<T, Table, V, Id, Op, const STATIC: bool>
    Execute<'static, Rows<Table, V, Id, Op, STATIC>, ByBackend> for T
where
    T: Target<
            Rows<Table, V, Id, Op, STATIC>,
            Bind: Bind<Connection: InsertRows<Rows<Table, V, Id, Op, STATIC>>>,
        >,
    Table: QuerySource,
    Rows<Table, V, Id, Op, STATIC>: Send,
{
    async fn run_execute(&self, insert: Rows<Table, V, Id, Op, STATIC>) -> Result<usize, Error> {
        let mut claim = self.claim().await?;
        let inserting = run(&mut claim, async |connection| {
            connection.insert_rows(insert).await
        });
        inserting.await
    }
}
