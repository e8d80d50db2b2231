//! A MariaDB server for one test, whose commits wait for a replica.

use crate::admin::Admin;
use crate::own_server::OwnServer;

/// A server with a binary log. It has no replica, and waits for one if it is set to. Dropping this value stops it.
pub struct Semisync {
    server: OwnServer,
}

impl Semisync {
    /// Starts a server with an empty database named `shop`. Its commits wait for no replica yet.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let options = [
            "--log-bin",
            "--server-id=7",
            "--sync-binlog=1",
            // Longer than any test.
            "--rpl-semi-sync-master-timeout=600000",
            // A thread that takes over from the session that turned the wait on lets the first query of its own session
            // wait for a replica, although that query writes nothing.
            "--thread-cache-size=0",
        ];
        let options = options.map(str::to_owned);
        let server = OwnServer::mariadb(folder, &options).await;
        let mut admin = server.admin("mysql").await;
        admin.run("CREATE DATABASE shop").await.unwrap();
        Self { server }
    }

    /// Sets whether each commit from now on waits for a replica.
    pub async fn waits(&self, waits: bool) {
        let set = format!(
            "SET GLOBAL rpl_semi_sync_master_enabled = {}",
            u8::from(waits)
        );
        self.admin().await.run(&set).await.unwrap();
    }

    /// Connects as the administrator of the server.
    pub async fn admin(&self) -> Admin {
        self.server.admin("mysql").await
    }

    /// Returns the URL of the database `shop`.
    pub fn url(&self) -> String {
        let url = self.server.url("root", "shop", "prefer_socket=false");
        url.replace("localhost", "127.0.0.1")
    }
}
