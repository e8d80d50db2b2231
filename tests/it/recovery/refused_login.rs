//! A holder that refuses the login of the operator may be alive and decide: it does not count as lost.

use std::time::Duration;

use diesel_binds::error::Fault;
use diesel_binds::recovery::{ForceError, ForceOptions, Outcome};
use diesel_binds::testing::{Effect, FaultPlan};
use diesel_binds::{Bind, BindOptions, Binds, Gid, RecoveryOptions, SessionOptions};
use kit::admin::Admin;
use kit::database::Database;
use kit::prepared::prepared;
use kit::servers::Server;
use kit::side::{MariadbA, PoolKind, PostgresA, Side};

const REASON: &str = "its disk burnt";

/// A holder on a server, and a participant.
struct Pair {
    holder: Database,
    participant: Database,
}

impl Pair {
    async fn new<H: Side, P: Side>() -> Self {
        Self {
            holder: H::database().await,
            participant: P::database().await,
        }
    }

    fn namespace(&self) -> String {
        self.holder.name().unwrap_or_default().replace('_', "-")
    }

    /// Starts a process that reaches the holder by `url`.
    async fn process<H: Side, P: Side>(&self, url: &str) -> Binds {
        let builder = Binds::builder()
            .namespace(self.namespace())
            .resolve_timeout(Duration::from_millis(200))
            .recovery(RecoveryOptions::new().without_worker());
        let holding = BindOptions::new().never_prepare();
        let builder = H::register(builder, url, PoolKind::Deadpool, 1, holding).await;
        let url = self.participant.url();
        let builder = P::register(builder, url, PoolKind::Deadpool, 1, BindOptions::new()).await;
        builder.build().unwrap()
    }

    /// Leaves the branch of a unit that was never decided.
    async fn leave<H: Side, P: Side>(&self) -> Gid {
        let binds = self.process::<H, P>(self.holder.url()).await;
        let plan = FaultPlan::new().at("decide:before", Effect::Crash);
        let mut session = binds.with(SessionOptions::new().faults(&plan)).session();
        H::write(&session, "a").await.unwrap();
        P::write(&session, "a").await.unwrap();
        let unit = session.unit();
        assert!(session.commit_all().await.is_err());
        let mut admin = Admin::connect(self.holder.url()).await;
        let ids = admin.values("SELECT holder_id AS value FROM diesel_binds_meta");
        let (id, key) = (ids.await.unwrap().remove(0), H::Bind::KEY);
        let gid = format!("db1:{}:{unit}:{key}:{id}", self.namespace());
        gid.parse().unwrap()
    }

    /// Forces the unit while the holder at `url` refuses the login, without and with the statement that it is gone.
    async fn force<H: Side, P: Side>(&self, gid: &Gid, url: &str) {
        let binds = self.process::<H, P>(url).await;
        let force = async |options| {
            let forced = binds
                .recovery()
                .force_with(gid, Outcome::RolledBack, REASON, options);
            forced.await
        };
        let refused = force(ForceOptions::new()).await;
        assert!(
            matches!(
                &refused,
                Err(ForceError::HolderUnclear { holder, source: Fault::Connect(_) }) if holder == H::Bind::KEY
            ),
            "{refused:?}"
        );
        let participant = self.participant.url();
        let mut admin = Admin::connect(participant).await;
        let recorded = admin.values("SELECT gid AS value FROM diesel_binds_forced");
        assert!(recorded.await.unwrap().is_empty());
        assert_eq!(prepared(participant, gid.unit()).await.len(), 1);

        let forced = force(ForceOptions::new().holder_is_gone()).await.unwrap();
        assert!(forced.is_complete(), "{forced}");
        assert_eq!(forced.recovered.len(), 1, "{forced}");
        assert!(prepared(participant, gid.unit()).await.is_empty());
    }
}

#[tokio::test]
async fn a_holder_on_postgresql_that_refuses_connections_is_not_lost() {
    let pair = Pair::new::<PostgresA, MariadbA>().await;
    let gid = pair.leave::<PostgresA, MariadbA>().await;
    let mut admin = Admin::connect(Server::PostgresA.url().as_str()).await;
    let mut allow = async |allow: bool| {
        let name = pair.holder.name().unwrap();
        let alter = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {allow}");
        admin.run(&alter).await.unwrap();
    };
    allow(false).await;
    pair.force::<PostgresA, MariadbA>(&gid, pair.holder.url())
        .await;
    allow(true).await;
}

#[tokio::test]
async fn a_holder_on_mariadb_that_refuses_the_password_is_not_lost() {
    let pair = Pair::new::<MariadbA, PostgresA>().await;
    let gid = pair.leave::<MariadbA, PostgresA>().await;
    let wrong = pair.holder.app_url().replace("app-secret", "app-wrong");
    assert!(wrong.contains("app-wrong"));
    pair.force::<MariadbA, PostgresA>(&gid, &wrong).await;
}
