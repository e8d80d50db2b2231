//! Other servers to which an address leads in place of the right one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use kit::admin::Admin;
use kit::copy::{Copy, Role};
use kit::database::Database;
use kit::servers::{Kind, Server};

/// The database to which an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Other {
    /// A database of the same name on another server, with the tables of the protocol and an id of its own.
    Stranger,
    /// A database with the same id: a copy of the server's files (PostgreSQL), or a database restored from a dump of
    /// the right one (MySQL, MariaDB).
    Copy,
}

/// Databases in the place of others, created on demand.
#[derive(Default)]
pub(crate) struct Others {
    copies: HashMap<Server, Copy>,
    /// The names of the databases that stand for one of another server, by the servers they are on.
    made: HashMap<Server, String>,
}

impl Others {
    /// Returns the URL of another database that stands for this one.
    pub(crate) async fn url(
        &mut self,
        other: Other,
        server: Server,
        database: &Database,
    ) -> String {
        if (other, server.kind()) == (Other::Copy, Kind::Postgres) {
            let copy = match self.copies.entry(server) {
                std::collections::hash_map::Entry::Occupied(made) => made.into_mut(),
                std::collections::hash_map::Entry::Vacant(new) => {
                    new.insert(Copy::of(server.url().as_str(), Role::Independent).await)
                }
            };
            let url = copy.url(database.url());
            overtake(&url, database.url()).await;
            return url;
        }
        let id = match other {
            Other::Stranger => STRANGER.to_owned(),
            Other::Copy => {
                let id = "SELECT holder_id AS value FROM diesel_binds_meta";
                let mut admin = Admin::connect(database.url()).await;
                admin.values(id).await.unwrap().remove(0)
            }
        };
        let name = database.name().expect("a database on a server has a name");
        let other = opposite(server);
        let mut url = other.url();
        if let Entry::Vacant(new) = self.made.entry(other) {
            let mut admin = Admin::connect(url.as_str()).await;
            admin.run(&format!("CREATE DATABASE {name}")).await.unwrap();
            new.insert(name.to_owned());
        }
        url.set_path(name);
        let mut admin = Admin::connect(url.as_str()).await;
        admin.run(migration(other.kind())).await.unwrap();
        let renamed = format!("UPDATE diesel_binds_meta SET holder_id = '{id}'");
        admin.run(&renamed).await.unwrap();
        url.into()
    }

    /// Drops the databases that were created.
    pub(crate) async fn drop(self) {
        for (server, name) in self.made {
            let mut admin = Admin::connect(server.url().as_str()).await;
            let force = match server.kind() {
                Kind::Postgres => " WITH (FORCE)",
                Kind::Mysql => "",
            };
            let dropped = admin.run(&format!("DROP DATABASE {name}{force}")).await;
            if let Err(error) = dropped {
                eprintln!("cannot drop database {name} on {}: {error}", server.name());
            }
        }
    }
}

/// The id of a database that belongs to no topology.
const STRANGER: &str = "0190c2f1a5b27e3c9d4f8a6b1c2d3e50";

/// Returns another server of the same kind. The databases of a topology have different names, so one more fits on
/// either server.
fn opposite(server: Server) -> Server {
    match server {
        Server::PostgresA => Server::PostgresB,
        Server::PostgresB => Server::PostgresA,
        Server::MariadbA => Server::MariadbB,
        Server::MariadbB => Server::MariadbA,
        Server::MysqlA => Server::MysqlB,
        Server::MysqlB => Server::MysqlA,
        other => panic!("{} is in no topology", other.name()),
    }
}

fn migration(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres => {
            include_str!("../../migrations/postgres/2026-01-01-000000_diesel_binds/up.sql")
        }
        Kind::Mysql => {
            include_str!("../../migrations/mysql/2026-01-01-000000_diesel_binds/up.sql")
        }
    }
}

/// Lets a copy use up the transaction ids that its original has used, and some more.
async fn overtake(copy: &str, original: &str) {
    let current = "SELECT pg_catalog.txid_current()::text AS value";
    let mut admin = Admin::connect(original).await;
    let given: i64 = admin.values(current).await.unwrap()[0].parse().unwrap();
    let mut admin = Admin::connect(copy).await;
    let own: i64 = admin.values(current).await.unwrap()[0].parse().unwrap();
    if own < given + 100 {
        let many = given + 300 - own;
        let given = format!(
            "DO $$ BEGIN FOR i IN 1..{many} LOOP PERFORM pg_catalog.txid_current(); COMMIT; END LOOP; END $$"
        );
        admin.run(&given).await.unwrap();
    }
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stranger => "a stranger",
            Self::Copy => "a copy",
        })
    }
}
