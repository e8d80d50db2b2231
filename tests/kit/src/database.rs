//! A database for one test: fresh, and gone when the test ends.

use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use diesel::prelude::*;
use diesel_async::{
    AsyncConnection, AsyncMysqlConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection,
};
use tempfile::TempDir;
use url::Url;

use crate::servers::{Kind, Server};

/// A database that no other test uses. Dropping this value drops it if the server allows that; a refusal is printed,
/// and fails no test.
pub struct Database {
    url: String,
    location: Location,
}

enum Location {
    Server { server: Server, name: String },
    Directory { _removed_with_it: TempDir },
}

impl Database {
    /// Creates an empty database on a server.
    pub async fn on(server: Server) -> Self {
        Self::named(server, unique_name()).await
    }

    /// Creates an empty database on another server, with the name of this one: an address may lead to either.
    pub async fn namesake_on(&self, server: Server) -> Self {
        let name = self.name().expect("a database on a server has a name");
        Self::named(server, name.to_owned()).await
    }

    async fn named(server: Server, name: String) -> Self {
        execute(
            &server.url(),
            server.kind(),
            &format!("CREATE DATABASE {name}"),
        )
        .await
        .unwrap_or_else(|error| panic!("cannot create a database on {}: {error}", server.name()));
        let url = with_path(server.configured_url(), &name).into();
        Self {
            url,
            location: Location::Server { server, name },
        }
    }

    /// Creates an SQLite file in a folder of its own.
    pub fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("a temporary folder can be made");
        let url = directory
            .path()
            .join("test.db")
            .to_str()
            .expect("the path is UTF-8")
            .to_owned();
        Self {
            url,
            location: Location::Directory {
                _removed_with_it: directory,
            },
        }
    }

    /// Returns the URL for the administrator, or the path of the SQLite file.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the URL for the account `app`, which has rights on this database only. For MySQL and MariaDB.
    pub fn app_url(&self) -> String {
        let mut url = Url::parse(&self.url).expect("only a database on a server has accounts");
        assert_eq!(
            url.scheme(),
            "mysql",
            "the account `app` exists on MySQL and MariaDB only"
        );
        url.set_username("app")
            .and_then(|()| url.set_password(Some("app-secret")))
            .expect("the URL has a host");
        url.into()
    }

    /// Returns whether it is of MySQL, and not of MariaDB.
    pub fn is_mysql(&self) -> bool {
        matches!(self.location, Location::Server { server, .. } if server.is_mysql())
    }

    /// Returns the name on the server; `None` for SQLite.
    pub fn name(&self) -> Option<&str> {
        match &self.location {
            Location::Server { name, .. } => Some(name),
            Location::Directory { .. } => None,
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Location::Server { server, name } = &self.location else {
            return;
        };
        // On a thread with a runtime of its own, because the test's runtime may be single-threaded, or gone.
        let dropped = thread::scope(|scope| {
            let drop_it = || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?;
                runtime.block_on(drop_database(*server, name))
            };
            scope.spawn(drop_it).join()
        });
        if let Ok(Err(error)) = dropped {
            eprintln!("cannot drop database {name} on {}: {error}", server.name());
        }
    }
}

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

async fn drop_database(server: Server, name: &str) -> Result<()> {
    let admin = server.configured_url();
    match server.kind() {
        Kind::Postgres => {
            roll_back_prepared(&with_path(admin.clone(), name)).await?;
            execute(
                &admin,
                Kind::Postgres,
                &format!("DROP DATABASE {name} WITH (FORCE)"),
            )
            .await
        }
        Kind::Mysql => {
            // A transaction that a test left open or prepared holds metadata locks: the short timeout bounds the wait
            // for it.
            let statements = format!("SET SESSION lock_wait_timeout = 2; DROP DATABASE {name}");
            execute(&admin, Kind::Mysql, &statements).await
        }
    }
}

/// Rolls back prepared transactions: PostgreSQL refuses to drop a database with any, and ends them only from inside it.
async fn roll_back_prepared(database: &Url) -> Result<()> {
    #[derive(QueryableByName)]
    struct Prepared {
        #[diesel(sql_type = diesel::sql_types::Text)]
        statement: String,
    }

    let mut connection = AsyncPgConnection::establish(database.as_str()).await?;
    let query = "SELECT format('ROLLBACK PREPARED %L', gid) AS statement FROM pg_prepared_xacts \
                 WHERE database = current_database()";
    let prepared: Vec<Prepared> = diesel::sql_query(query).load(&mut connection).await?;
    for Prepared { statement } in prepared {
        connection.batch_execute(&statement).await?;
    }
    Ok(())
}

async fn execute(url: &Url, kind: Kind, statements: &str) -> Result<()> {
    match kind {
        Kind::Postgres => {
            AsyncPgConnection::establish(url.as_str())
                .await?
                .batch_execute(statements)
                .await?
        }
        Kind::Mysql => {
            AsyncMysqlConnection::establish(url.as_str())
                .await?
                .batch_execute(statements)
                .await?
        }
    }
    Ok(())
}

fn with_path(mut url: Url, name: &str) -> Url {
    url.set_path(name);
    url
}

/// Returns a name that no earlier run has left behind. The account `app` may use the databases that begin with `test_`.
fn unique_name() -> String {
    static COUNTER: AtomicUsize = AtomicUsize::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970");
    format!("test_{}_{}_{number}", now.as_millis(), process::id())
}
