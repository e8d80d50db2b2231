//! The settings that make a server durable are read again, because they change while the server runs.

use std::time::Duration;

use diesel_binds::check::Finding;
use diesel_binds::error::Fault;
use diesel_binds::{BindOptions, Binds, Commit, CommitError, RecoveryOptions};
use kit::copy::{Copy, Role};
use kit::database::Database;
use kit::own_server::OwnServer;
use kit::servers::Server;
use kit::side::{MariadbA, PoolKind, PostgresA, PostgresB, Side};
use kit::world::Sides;
use tokio::time::{Instant, sleep};

use crate::durable::replicated::LONG;

async fn binds<A: Side>(url: &str, other: &Database, options: BindOptions) -> Binds {
    let (builder, pool) = (Binds::builder(), PoolKind::Deadpool);
    let builder = builder
        .namespace("settings-change")
        .recovery(RecoveryOptions::new().without_worker());
    let builder = A::register(builder, url, pool, 2, options).await;
    PostgresB::register(builder, other.url(), pool, 2, BindOptions::new())
        .await
        .build()
        .unwrap()
}

async fn commit<S: Sides>(binds: &Binds, text: &str) -> Result<Commit, CommitError> {
    let mut session = binds.session();
    S::write(&session, text).await.unwrap();
    session.commit_all().await
}

/// Commits again and again, and returns the first refusal, which must come within some time.
async fn refused<S: Sides>(binds: &Binds) -> Fault {
    let end = Instant::now() + LONG;
    loop {
        let text = binds.session().unit().to_string();
        match commit::<S>(binds, &text).await {
            Ok(_) => assert!(Instant::now() < end, "no unit was refused"),
            Err(CommitError::RolledBack { source, .. }) => return source,
            Err(error) => panic!("{error}"),
        }
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_postgres_that_becomes_forgetful_is_refused() {
    type Two = (PostgresA, PostgresB);
    let (database, other) = (PostgresA::database().await, PostgresB::database().await);
    let server = Copy::of(Server::PostgresA.url().as_str(), Role::Independent).await;
    let url = server.url(database.url());
    let binds = binds::<PostgresA>(&url, &other, BindOptions::new()).await;
    let _ = commit::<Two>(&binds, "first").await.unwrap();
    server.set("fsync", "off").await;
    let fault = refused::<Two>(&binds).await;
    assert!(matches!(&fault, Fault::NotDurable { setting } if setting.contains("fsync")));
    server.set("fsync", "on").await;
    let _ = commit::<Two>(&binds, "last").await.unwrap();
}

/// A restart makes earlier answers stale, however recent they are. The reply to a commit contains the start time.
#[tokio::test]
async fn a_server_that_was_started_again_is_asked_again() {
    type Two = (PostgresA, PostgresB);
    let (database, other) = (PostgresA::database().await, PostgresB::database().await);
    let mut server = Copy::of(Server::PostgresA.url().as_str(), Role::Independent).await;
    let url = server.url(database.url());
    let binds = binds::<PostgresA>(&url, &other, BindOptions::new()).await;
    let _ = commit::<Two>(&binds, "first").await.unwrap();
    server.set("fsync", "off").await;
    server.stop();
    server.start().await;
    let end = Instant::now() + LONG;
    loop {
        let mut session = binds.session();
        // The earlier connections are closed.
        let written = PostgresA::write(&session, "alone").await;
        let ended = session.commit_all().await;
        if written.is_ok() && ended.is_ok() {
            break;
        }
        assert!(Instant::now() < end, "{written:?}, {ended:?}");
    }
    let error = commit::<Two>(&binds, "second").await.unwrap_err();
    assert!(
        matches!(
            &error,
            CommitError::RolledBack { source: Fault::NotDurable { setting }, .. }
                if setting.contains("fsync")
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_mariadb_that_becomes_forgetful_is_refused() {
    type Two = (MariadbA, PostgresB);
    let folder = tempfile::tempdir().unwrap();
    let log = ["--log-bin", "--server-id=7", "--sync-binlog=1"].map(str::to_owned);
    let server = OwnServer::like(Server::MariadbA, folder, &log).await;
    let other = PostgresB::database().await;
    let mut admin = server.admin("mysql").await;
    admin.run("CREATE DATABASE shop").await.unwrap();
    admin.run(crate::durable::semisync::SCHEMA).await.unwrap();
    let url = server.url("root", "shop", "prefer_socket=false");
    let binds = binds::<MariadbA>(&url, &other, BindOptions::new()).await;
    binds.install().await.unwrap();
    for (name, bad) in [("innodb_flush_log_at_trx_commit", 2), ("sync_binlog", 0)] {
        let _ = commit::<Two>(&binds, &format!("before {name}"))
            .await
            .unwrap();
        admin
            .run(&format!("SET GLOBAL {name} = {bad}"))
            .await
            .unwrap();
        let fault = refused::<Two>(&binds).await;
        assert!(matches!(&fault, Fault::NotDurable { setting } if setting.contains(name)));
        admin.run(&format!("SET GLOBAL {name} = 1")).await.unwrap();
    }
}

/// A bind may require that its commits wait for a standby, and notices when they no longer do.
#[tokio::test]
async fn a_standby_that_is_taken_away_is_noticed() {
    type Two = (PostgresA, PostgresB);
    let (database, other) = (PostgresA::database().await, PostgresB::database().await);
    let server = Copy::of(Server::PostgresA.url().as_str(), Role::Independent).await;
    let url = server.url(database.url());
    let demanding = BindOptions::new().require_synchronous_replication();
    let demanding = binds::<PostgresA>(&url, &other, demanding).await;
    let fault = refused::<Two>(&demanding).await;
    assert!(matches!(fault, Fault::NotReplicated), "{fault:?}");
    let found = |report: &diesel_binds::check::Report| {
        let bind = report.bind("pg-a").unwrap();
        bind.findings.iter().find_map(|finding| match finding {
            Finding::NotReplicated { required } => Some(*required),
            _ => None,
        })
    };
    assert_eq!(found(&demanding.check().await), Some(true));

    let content = binds::<PostgresA>(&url, &other, BindOptions::new()).await;
    assert_eq!(found(&content.check().await), None);
    let standby = kit::standby::Standby::following(&url).await;
    let name = kit::standby::NAME;
    server.set("synchronous_standby_names", name).await;
    for binds in [&demanding, &content] {
        let _ = commit::<Two>(binds, &format!("{:p}", binds)).await.unwrap();
        assert_eq!(found(&binds.check().await), None);
    }
    server.set("synchronous_standby_names", "").await;
    drop(standby);
    assert_eq!(found(&content.check().await), Some(false));
    let fault = refused::<Two>(&demanding).await;
    assert!(matches!(fault, Fault::NotReplicated), "{fault:?}");
}

/// An `XA PREPARE` waits for no replica, so a failover could lose the branch of a unit that the others have committed.
#[tokio::test]
async fn a_mariadb_that_must_be_replicated_never_prepares() {
    let (server, other) = (MariadbA::database().await, PostgresB::database().await);
    let demanding = BindOptions::new().require_synchronous_replication();
    let binds = binds::<MariadbA>(server.url(), &other, demanding).await;
    let report = binds.check().await;
    let found = &report.bind("my-a").unwrap().findings;
    assert!(
        found.iter().any(
            |finding| matches!(finding, Finding::CannotPrepare { reason, .. }
            if reason.contains("XA PREPARE"))
        ),
        "{found:?}"
    );
}
