//! A database of MariaDB, or of MySQL in its place, whose server offers no TLS.

use crate::database::Database;
use crate::own_server::OwnServer;
use crate::servers::Server;

/// A database with the account `app`. Dropping this value drops it.
pub enum InTheClear {
    /// On the server of all tests.
    Shared(Database),
    /// On a server of the test: MySQL offers TLS unless it is told not to.
    Own(OwnServer),
}

impl InTheClear {
    pub async fn start() -> Self {
        if !Server::MariadbA.is_mysql() {
            return Self::Shared(Database::on(Server::MariadbA).await);
        }
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let options = ["--tls-version=".to_owned()];
        let server = OwnServer::like(Server::MariadbA, folder, &options).await;
        let mut admin = server.admin("mysql").await;
        for statement in [
            "CREATE DATABASE shop",
            "CREATE USER app@'%' IDENTIFIED BY 'app-secret'",
            "GRANT ALL ON shop.* TO app@'%'",
        ] {
            admin.run(statement).await.unwrap();
        }
        Self::Own(server)
    }

    /// Returns the URL, by the network.
    pub fn url(&self) -> String {
        match self {
            Self::Shared(database) => database.app_url(),
            Self::Own(server) => {
                let url = server.url("app:app-secret", "shop", "");
                url.trim_end_matches('?').replace("localhost", "127.0.0.1")
            }
        }
    }
}
