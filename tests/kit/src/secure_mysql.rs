//! A server of MariaDB, or of MySQL in its place, for one test: it takes encrypted connections only.

use crate::admin::Admin;
use crate::certificates::{Certificates, Shown};
use crate::own_server::{OwnServer, option};
use crate::secure_postgres::CERTIFIED;
use crate::servers::Server;

/// A server with the databases `shop` and `bank`. Dropping this value stops it.
pub struct SecureMysql {
    pub certificates: Certificates,
    server: OwnServer,
}

impl SecureMysql {
    /// Starts a server that shows the good certificate.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let certificates = Certificates::make(folder.path(), CERTIFIED);
        certificates.show(Shown::Good);
        let options = [
            "--require-secure-transport=ON".to_owned(),
            option("--ssl-cert", &certificates.certificate("shown")),
            option("--ssl-key", &certificates.key("shown")),
            option("--ssl-ca", &certificates.certificate("root")),
        ];
        let server = OwnServer::like(Server::MariadbA, folder, &options).await;
        let mut admin = server.admin("mysql").await;
        for statement in [
            "CREATE USER app@'%' IDENTIFIED BY 'app-secret'",
            "GRANT ALL ON *.* TO app@'%'",
            "CREATE USER certified@'%' REQUIRE X509",
            "GRANT ALL ON *.* TO certified@'%'",
            "CREATE DATABASE shop",
            "CREATE DATABASE bank",
        ] {
            admin.run(statement).await.unwrap();
        }
        Self {
            certificates,
            server,
        }
    }

    /// Makes the server show another certificate to new connections. Returns whether the server does so: MySQL refuses
    /// one that is not valid.
    pub async fn shows(&self, shown: Shown) -> bool {
        self.certificates.show(shown);
        let reload = match Server::MariadbA.is_mysql() {
            true => "ALTER INSTANCE RELOAD TLS",
            false => "FLUSH SSL",
        };
        let reloaded = self.admin("mysql").await.run(reload).await;
        assert!(
            reloaded.is_ok() || Server::MariadbA.is_mysql(),
            "{reloaded:?}"
        );
        reloaded.is_ok()
    }

    /// Connects as the administrator by the socket of the server, which is not encrypted.
    pub async fn admin(&self, database: &str) -> Admin {
        self.server.admin(database).await
    }

    /// Returns the URL of a database, with these parameters.
    pub fn url(&self, database: &str, parameters: &str) -> String {
        self.server.url("app:app-secret", database, parameters)
    }
}
