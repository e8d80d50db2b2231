//! Migrations behind a pooler in transaction mode, where each transaction may have another session.

use std::time::Duration;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use diesel_binds::migrations::MigrationProblem;
use diesel_binds::{Binds, BindsBuilder, Source};
use futures_util::FutureExt as _;
use futures_util::future::try_join_all;
use kit::database::Database;
use kit::pooler::Pooler;
use kit::servers::Server;
use kit::source::{Gate, Steps};

use crate::migrations::binds::Accounts;
use crate::migrations::database::{self, LATER, two};
use crate::migrations::world::{builder, on, values, versions};

fn through(pooler: &Pooler, database: &Database, steps: Steps) -> Binds {
    with(builder(), pooler, database, steps)
}

fn with(builder: BindsBuilder, pooler: &Pooler, database: &Database, steps: Steps) -> Binds {
    builder
        .bind(
            Accounts,
            Source::url(pooler.url(database.url())).setup(|url| patiently(url).boxed()),
        )
        .migrations(Accounts, steps)
        .build()
        .unwrap()
}

/// Connects, and retries if that fails. diesel-async prepares statements when it opens a connection. A pgbouncer before
/// 1.21 may send the preparation and the execution to different sessions.
async fn patiently(url: &str) -> ConnectionResult<AsyncPgConnection> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match AsyncPgConnection::establish(url).await {
            Err(ConnectionError::CouldntSetupConfiguration(error)) if attempts < 100 => {
                assert!(error.to_string().contains("prepared statement"), "{error}");
            }
            result => return result,
        }
    }
}

#[tokio::test]
async fn one_run_at_a_time_behind_a_pooler() {
    let database = Database::on(Server::PostgresA).await;
    let pooler = Pooler::in_front_of(Server::PostgresA, 12);
    let count = "CREATE TABLE IF NOT EXISTS runs (id text); INSERT INTO runs VALUES ('once'); SELECT pg_sleep(0.3)";
    let steps = || two().bare(LATER, count, "DROP TABLE runs");
    let binds: Vec<_> = (0..5)
        .map(|_| through(&pooler, &database, steps()))
        .collect();
    let runs = try_join_all(
        binds
            .iter()
            .map(|binds| async { binds.migrations().run().await }),
    );
    let done: usize = runs.await.unwrap().iter().map(|run| run.done.len()).sum();
    assert_eq!(done, 3);
    assert_eq!(versions(database.url()).await.len(), 3);
    assert_eq!(
        values(database.url(), "SELECT id AS value FROM runs").await,
        ["once"]
    );
}

#[tokio::test]
async fn migrations_work_behind_a_pooler() {
    let database = Database::on(Server::PostgresA).await;
    let pooler = Pooler::in_front_of(Server::PostgresA, 4);
    let binds = through(&pooler, &database, two());
    database::migrations_of_binds_run_are_reported_listed_and_reverted::<Accounts>(
        &binds,
        database.url(),
    )
    .await;
}

/// One run connects through the pooler, the other does not, and both use the same lock.
#[tokio::test]
async fn the_lock_is_the_same_with_and_without_the_pooler() {
    let database = Database::on(Server::PostgresA).await;
    let pooler = Pooler::in_front_of(Server::PostgresA, 4);
    let gate = Gate::default();
    let table = || Steps::new().table(LATER, "later");
    let direct = on::<Accounts>(database.url(), table().behind(&gate));
    let pooled = through(&pooler, &database, table());
    let waits = async {
        gate.reached().await;
        let patience = Duration::from_millis(50);
        let refused = pooled.migrations().lock_timeout(patience).run().await;
        gate.open();
        refused.unwrap_err()
    };
    let direct = direct.migrations();
    let (run, refused) = tokio::join!(direct.run(), waits);
    assert_eq!(run.unwrap().done.len(), 1);
    assert!(
        matches!(refused.problem(), MigrationProblem::Locked { .. }),
        "{refused:?}"
    );
    assert!(pooled.migrations().run().await.unwrap().done.is_empty());
}

/// The lock takes one connection of the pooler for the whole run. Without a second connection, the run fails with an
/// error.
#[tokio::test]
async fn a_pooler_with_one_connection_is_refused() {
    let database = Database::on(Server::PostgresA).await;
    let pooler = Pooler::in_front_of(Server::PostgresA, 1);
    let impatient = builder().step_timeout(Duration::from_millis(500));
    let binds = with(impatient, &pooler, &database, two());
    let refused = binds.migrations().run().await.unwrap_err();
    assert!(
        matches!(refused.problem(), MigrationProblem::NoAnswer { .. }),
        "{refused:?}"
    );
    let direct = on::<Accounts>(database.url(), two());
    assert_eq!(direct.migrations().run().await.unwrap().done.len(), 2);
}
