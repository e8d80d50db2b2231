//! Binds that lead to one database through either node of the cluster.

use std::time::Duration;

use diesel_binds::Binds;
use kit::admin::Admin;
use kit::database::Database;
use kit::servers::Server;
use kit::side::{GaleraA, PostgresA};
use kit::world::World;
use tokio::time::{Instant, sleep};
use url::Url;

/// Two processes of one application, with PostgreSQL and one database of the cluster. Each uses another node.
pub(crate) struct Nodes {
    /// The binds through node A, and the databases.
    pub(crate) world: World,
    /// The binds through node B.
    pub(crate) other: Binds,
}

impl Nodes {
    pub(crate) async fn new() -> Self {
        let world = World::of::<(PostgresA, GaleraA)>(kit::side::PoolKind::Deadpool).await;
        let other = other_node(&world.databases[1]);
        caught_up(Server::GaleraB).await;
        let urls = [world.databases[0].url().to_owned(), other];
        let other = World::builder::<(PostgresA, GaleraA)>()
            .connect(&urls)
            .await;
        Self { world, other }
    }

    /// Returns the rows: on PostgreSQL, and on each node when it has applied what was committed before.
    pub(crate) async fn rows(&self) -> [Vec<String>; 3] {
        let mut all = [const { Vec::new() }; 3];
        let [postgres, galera] = self.world.databases.as_slice() else {
            panic!("two databases");
        };
        for (rows, url) in all.iter_mut().zip([
            postgres.url().to_owned(),
            galera.url().to_owned(),
            other_node(galera),
        ]) {
            let mut admin = Admin::connect(&url).await;
            if url.starts_with("mysql") {
                admin.run("SET SESSION wsrep_sync_wait = 15").await.unwrap();
            }
            let rows_there = admin.values("SELECT text AS value FROM notes ORDER BY id");
            *rows = rows_there.await.unwrap();
        }
        all
    }
}

/// Returns the URL of a database of node A on node B.
pub(crate) fn other_node(database: &Database) -> String {
    let mut url = Url::parse(database.url()).unwrap();
    let port = Server::GaleraB.url().port();
    url.set_port(port).unwrap();
    url.into()
}

/// Waits until the node is in a cluster of two, and has applied what was committed before.
pub(crate) async fn caught_up(server: Server) {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let mut admin = Admin::connect(server.url().as_str()).await;
        let asked = async {
            admin.run("SET SESSION wsrep_sync_wait = 15").await?;
            let size = "SELECT VARIABLE_VALUE AS value FROM information_schema.GLOBAL_STATUS \
                WHERE VARIABLE_NAME = 'wsrep_cluster_size'";
            admin.values(size).await
        };
        match asked.await {
            Ok(size) if size == ["2"] => return,
            asked => assert!(Instant::now() < end, "{}: {asked:?}", server.name()),
        }
        sleep(Duration::from_millis(100)).await;
    }
}
