//! PostgreSQL: units are transactions with a marker in a setting, branches are prepared transactions.

// Files, each of which imports only from those before it: `begin`, `clean`, `connect`, `cancel`, `lineage`, `marker`, `message`,
// `inspect`, `prepared`, `role`, `outer`, `sandbox`, `tables`, `probe`, `recovery`, `unit`.

mod begin;
mod cancel;
mod clean;
mod connect;
mod inspect;
mod lineage;
mod marker;
mod message;
mod outer;
mod prepared;
mod probe;
mod recovery;
mod role;
#[cfg(feature = "testing")]
mod sandbox;
mod tables;
mod unit;

use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::Bool;
use diesel::{OptionalExtension as _, QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _};
use futures_util::future::{BoxFuture, FutureExt as _};

use self::message::pending_error;
use crate::backend::{Backend, Clock, Dialect, RecoveryDialect as _, Server, Terms, internals};
use crate::tls::TlsSetting;

pub(crate) use self::connect::{Opener, config, host};

/// The tables of the protocol are always qualified. With another `search_path`, an unqualified decision would go into
/// another schema, and recovery would find none.
const SCHEMA: &str = "public.";

impl Dialect for AsyncPgConnection {
    const BACKEND: Backend = Backend::Postgres;
    /// The driver reads on a task of its own.
    const NOTICES_CLOSE: bool = true;
    // The first two are messages of `elog`, which are never translated. The driver names its statements `s0`, `s1`, …;
    // `DEALLOCATE ALL` and `DISCARD ALL` in text drop them.
    const STALE: &'static [&'static str] = &[
        "cached plan must not change result type",
        "cache lookup failed for *",
        "prepared statement \"s#\" does not exist",
    ];
    const CLOCK: Clock = Clock {
        now: "CAST(floor(extract(epoch FROM clock_timestamp())) AS bigint)",
        at: "CAST(floor(extract(epoch FROM at)) AS bigint)",
    };
    const MAY_BE_POOLED: bool = true;
    const ABORT_HIDES_MARKER: bool = true;

    async fn inspect(&mut self) -> QueryResult<Server> {
        inspect::inspect(self).await
    }

    async fn remarks(&mut self) -> QueryResult<Vec<String>> {
        let standby = self
            .replica()
            .await?
            .map(|_| "the server is a read-only standby");
        Ok(standby.into_iter().map(Into::into).collect())
    }

    fn is_demotion(error: &diesel::result::Error) -> bool {
        use diesel::result::{DatabaseErrorKind, Error};

        matches!(
            error,
            Error::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _)
        )
    }

    fn errors_are_final(server: &Server) -> bool {
        !server.pooled
    }

    /// Yields: the task of the driver then reads before this one continues.
    async fn read_pending(&mut self) {
        tokio::task::yield_now().await;
    }

    async fn closed(&mut self) -> Option<Error> {
        // Diesel also calls a connection broken if a transaction of its own was begun and dropped there. On a closed
        // one nothing is sent.
        if !internals::is_closed(self) || self.batch_execute("").await.is_ok() {
            return None;
        }
        let reason = "the connection is closed".to_owned();
        Some(pending_error(self).unwrap_or_else(|| {
            Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(reason))
        }))
    }

    async fn ping(&mut self, _: &Terms) -> QueryResult<()> {
        // An empty query is also answered in an aborted transaction.
        self.batch_execute("").await
    }

    async fn clean(&mut self, terms: &Terms) -> QueryResult<bool> {
        clean::clean(self, terms).await
    }

    async fn retire(&mut self) {
        internals::status(self).set_in_error();
    }

    async fn is_encrypted(&mut self) -> QueryResult<Option<bool>> {
        #[derive(QueryableByName)]
        struct Encrypted {
            #[diesel(sql_type = Bool)]
            ssl: bool,
        }

        let query =
            "SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid()";
        let row: Option<Encrypted> = sql_query(query).get_result(self).await.optional()?;
        Ok(row.map(|row| row.ssl))
    }

    fn cancel(&mut self, tls: Option<&TlsSetting>) -> Option<BoxFuture<'static, ()>> {
        Some(cancel::send(self.cancel_token(), tls.cloned()).boxed())
    }
}
