//! MySQL and MariaDB: units are XA branches with a savepoint as marker, or plain transactions that cannot be prepared.
//!
//! The two differ in few statements: a file with one of them asks for the `Flavour` of the server.
//!
//! The name of a branch is fixed when it starts, so it cannot name the holder. The branch itself inserts a row that
//! does: recovery reads it under READ UNCOMMITTED.

// Files, each of which imports only from those before it: `flavour`, `writes`, `clean`, `connect`, `diagnosis`, `drain`,
// `inspect`, `listing`, `lost`, `finish`, `prepared`, `tables`, `recovery`, `begin`, `outer`, `probe`, `unit`, `sandbox`.

mod begin;
mod clean;
mod connect;
mod diagnosis;
mod drain;
mod finish;
mod flavour;
mod inspect;
mod listing;
mod lost;
mod outer;
mod prepared;
mod probe;
mod recovery;
#[cfg(feature = "testing")]
mod sandbox;
mod tables;
mod unit;
mod writes;

use diesel::result::Error;
use diesel::sql_types::{Bool, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl as _};
use futures_util::future::{BoxFuture, FutureExt as _};

pub(crate) use self::connect::{Opener, host, options};
use crate::backend::{Backend, Clock, Dialect, Server, Terms, internals, stale};
use crate::commit::Outcome;
use crate::gid::Xid;
use crate::tls::TlsSetting;

#[derive(QueryableByName)]
struct Flag {
    #[diesel(sql_type = Bool)]
    flag: bool,
}

/// Error 1290 for a server that accepts no writes.
const READ_ONLY: &[&str] = &[
    "The MariaDB server is running with the --read-only *",
    "The MySQL server is running with the --read-only *",
    "The MySQL server is running with the --super-read-only *",
];

impl Dialect for AsyncMysqlConnection {
    const BACKEND: Backend = Backend::Mysql;
    /// The driver reads nothing between two statements.
    const NOTICES_CLOSE: bool = false;
    // The others follow when a proxy has reset the session, which drops its prepared statements: MariaDB, MySQL.
    const STALE: &'static [&'static str] = &[
        "Prepared statement needs to be re-prepared",
        "Unknown prepared statement handler (#) given to mysqld_stmt_execute",
        "Unknown prepared statement handler (#) given to mysql_stmt_precheck",
        // A closed connection frees those that it has.
        "Can't create more than max_prepared_stmt_count statements (current value: #)",
    ];
    const CLOCK: Clock = Clock {
        now: "CAST(UNIX_TIMESTAMP() AS SIGNED)",
        at: "CAST(FLOOR(UNIX_TIMESTAMP(at)) AS SIGNED)",
    };
    // An XA branch is the least robust one: as the holder, such a bind commits in one phase.
    const HOLDER_RANK: i8 = 1;
    const PREPARE_IS_REPLICATED: bool = false;
    const STATEMENTS_KEEP_THEIR_DATABASE: bool = true;
    const DDL_COMMITS: bool = true;

    async fn inspect(&mut self) -> QueryResult<Server> {
        inspect::inspect(self).await
    }

    async fn remarks(&mut self) -> QueryResult<Vec<String>> {
        inspect::remarks(self).await
    }

    fn is_demotion(error: &diesel::result::Error) -> bool {
        stale::has_text(error, READ_ONLY)
    }

    fn prepares_no_more(error: &Error) -> bool {
        matches!(error, Error::DatabaseError(_, information) if information.message().starts_with(inspect::NOT_DETACHED))
    }

    async fn drain(&mut self) -> QueryResult<()> {
        drain::drain(self).await
    }

    async fn ping(&mut self, terms: &Terms) -> QueryResult<()> {
        probe::ping(self, terms).await
    }

    async fn met_conflict(&mut self, error: &Error) -> bool {
        diagnosis::is_one_of(self, error, diagnosis::CONFLICTS).await
    }

    async fn clean(&mut self, terms: &Terms) -> QueryResult<bool> {
        clean::clean(self, terms).await
    }

    async fn retire(&mut self) {
        internals::status(self).set_in_error();
    }

    async fn is_encrypted(&mut self) -> QueryResult<Option<bool>> {
        #[derive(QueryableByName)]
        #[diesel(check_for_backend(diesel::mysql::Mysql))]
        struct Cipher {
            #[diesel(sql_type = Text, column_name = "Value")]
            name: String,
        }

        let query = diesel::sql_query("SHOW SESSION STATUS LIKE 'Ssl_cipher'");
        let rows: Vec<Cipher> = query.load(self).await?;
        Ok(rows.iter().map(|cipher| !cipher.name.is_empty()).next())
    }

    fn cancel(&mut self, _: Option<&TlsSetting>) -> Option<BoxFuture<'static, ()>> {
        let token = self.cancel_token();
        Some(
            async move {
                if let Err(error) = token.cancel_query().await {
                    tracing::debug!(%error, "an abandoned statement could not be cancelled");
                }
            }
            .boxed(),
        )
    }
}

/// Returns whether the transaction is an XA branch: a read-only one has nothing to prepare.
fn is_branch(terms: &Terms) -> bool {
    terms.two_phase
}

fn xid(terms: &Terms) -> Xid {
    Xid {
        namespace: terms.namespace.as_ref().into(),
        unit: terms.unit,
        bind: terms.bind.into(),
    }
}

fn verb(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Committed => "COMMIT",
        Outcome::RolledBack => "ROLLBACK",
    }
}
