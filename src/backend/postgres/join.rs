//! A unit as a savepoint in a transaction of somebody else on PostgreSQL.

use diesel::QueryResult;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};

use crate::backend::postgres::end::{fault, use_up_marker};
use crate::backend::{Begun, Terms, internals, sql};
use crate::commit::Fault;

/// Begins, and leaves the marker. A unit that is around this one gets its own back in the end.
pub(super) async fn begin(connection: &mut AsyncPgConnection, terms: &Terms) -> QueryResult<Begun> {
    let depth = internals::depth(internals::status(connection))?;
    let message = format!(
        "SAVEPOINT {}; SELECT pg_catalog.set_config('diesel_binds.outer', \
         coalesce(pg_catalog.current_setting('diesel_binds.unit', true), ''), true); \
         SELECT pg_catalog.set_config('diesel_binds.unit', '{}', true){}",
        sql::MARKER,
        terms.unit,
        sql::open_savepoints(terms.savepoints),
    );
    connection.batch_execute(&message).await?;
    Ok(Begun {
        depth,
        ..Begun::default()
    })
}

/// Uses up the marker, and releases the savepoint, or goes back to it where nothing was to be written.
pub(super) async fn release(
    connection: &mut AsyncPgConnection,
    terms: &Terms,
) -> Result<(), Fault> {
    let end = match terms.read_only {
        true => sql::undo_joined(),
        false => format!(
            "SELECT pg_catalog.set_config('diesel_binds.unit', \
             pg_catalog.current_setting('diesel_binds.outer'), true); RELEASE SAVEPOINT {}",
            sql::MARKER
        ),
    };
    let message = format!("{}; {end}", use_up_marker(terms));
    connection.batch_execute(&message).await.map_err(fault)
}

/// Goes back to the savepoint, in whatever state the transaction is.
pub(super) async fn undo(connection: &mut AsyncPgConnection, terms: &Terms) -> QueryResult<()> {
    connection.batch_execute(&sql::undo_joined()).await?;
    internals::return_to(internals::status(connection), terms.begun.depth);
    Ok(())
}
