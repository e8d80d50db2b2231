//! The behaviour of servers whose commits wait for a standby or a replica that is away.

use std::time::Duration;

use diesel_async::{AsyncConnection as _, AsyncMysqlConnection, AsyncPgConnection};
use kit::admin::Admin;
use kit::copy::{Copy, Role};
use kit::semisync::Semisync;
use kit::servers::Server;
use tokio::time::timeout;

/// Long enough to distinguish a wait from an answer: a statement that waits is never done by then.
const A_WHILE: Duration = Duration::from_secs(3);

/// The time after which a test fails that would wait forever.
const LONGEST: Duration = Duration::from_secs(120);

const LIMITED: &str = "SET statement_timeout = 100";

async fn values(copy: &Copy, query: &str) -> Vec<String> {
    copy.admin().await.values(query).await.unwrap()
}

#[tokio::test]
async fn postgres_ends_the_limit_of_a_statement_before_it_waits_for_a_standby() {
    let copy = Copy::of(Server::PostgresA.url().as_str(), Role::Independent).await;
    copy.admin()
        .await
        .run("CREATE TABLE t (i int)")
        .await
        .unwrap();
    copy.set("synchronous_standby_names", "nobody").await;
    for end in ["COMMIT", "PREPARE TRANSACTION 'a branch'"] {
        let mut waiting = copy.admin().await;
        let message = format!("{LIMITED}; BEGIN; INSERT INTO t VALUES (1); {end}");
        let waited = timeout(A_WHILE, waiting.run(&message)).await;
        assert!(waited.is_err(), "{end}: {waited:?}");
    }
    // `COMMIT PREPARED` is a statement, so the limit cuts its wait short, and it is reported as done. The branch is
    // finished while its prepare waits.
    let waits = "SELECT pg_cancel_backend(pid)::text AS value FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    while !values(&copy, waits).await.is_empty() {}
    let mut finishing = copy.admin().await;
    finishing.run(LIMITED).await.unwrap();
    finishing.run("COMMIT PREPARED 'a branch'").await.unwrap();
}

#[tokio::test]
async fn postgres_calls_a_commit_done_whose_wait_was_cancelled() {
    let copy = Copy::of(Server::PostgresA.url().as_str(), Role::Independent).await;
    copy.admin()
        .await
        .run("CREATE TABLE t (i int)")
        .await
        .unwrap();
    copy.set("synchronous_standby_names", "nobody").await;
    let url = copy.url("postgres://postgres@127.0.0.1:1/postgres");
    let connection = AsyncPgConnection::establish(&url).await.unwrap();
    let token = connection.cancel_token();
    let mut waiting = Admin::Postgres(Box::new(connection));
    let commit = async {
        let message = "BEGIN; INSERT INTO t VALUES (1); COMMIT";
        waiting.run(message).await
    };
    let cancel = async {
        let waits = "SELECT 'waits' AS value FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        while values(&copy, waits).await.is_empty() {}
        assert!(
            values(&copy, "SELECT i::text AS value FROM t")
                .await
                .is_empty()
        );
        token.cancel_query(tokio_postgres::NoTls).await.unwrap();
    };
    let (committed, ()) = tokio::join!(commit, cancel);
    committed.unwrap();
    assert_eq!(values(&copy, "SELECT i::text AS value FROM t").await, ["1"]);
}

/// The two servers run one after the other.
#[tokio::test]
async fn mariadb_shows_and_keeps_what_waits_for_its_replica() {
    let tried = async {
        mariadb_prepares_without_its_replica_and_shows_what_waits_for_it().await;
        mariadb_keeps_a_commit_whose_wait_for_a_replica_was_killed().await;
    };
    timeout(LONGEST, tried).await.expect("it waits for nobody");
}

async fn mariadb_prepares_without_its_replica_and_shows_what_waits_for_it() {
    let server = Semisync::start().await;
    let mut admin = server.admin().await;
    admin.run("CREATE TABLE shop.t (i int)").await.unwrap();
    server.waits(true).await;
    let prepare = "XA START 'x'; INSERT INTO shop.t VALUES (1); XA END 'x'; XA PREPARE 'x'";
    server.admin().await.run(prepare).await.unwrap();
    let mut waiting = server.admin().await;
    let insert = "SET max_statement_time = 0.1; SET autocommit = 0; INSERT INTO shop.t VALUES (2); SET autocommit = 1";
    let waited = timeout(A_WHILE, waiting.run(insert)).await;
    assert!(waited.is_err(), "{waited:?}");
    let seen = "SELECT CAST(i AS CHAR) AS value FROM shop.t";
    assert_eq!(admin.values(seen).await.unwrap(), ["2"]);
}

async fn mariadb_keeps_a_commit_whose_wait_for_a_replica_was_killed() {
    let server = Semisync::start().await;
    let mut admin = server.admin().await;
    admin.run("CREATE TABLE shop.t (i int)").await.unwrap();
    server.waits(true).await;
    let connection = AsyncMysqlConnection::establish(&server.url())
        .await
        .unwrap();
    let token = connection.cancel_token();
    let mut killed = Admin::Mysql(Box::new(connection));
    let kill = async {
        let waits = "SELECT 'waits' AS value FROM information_schema.PROCESSLIST WHERE STATE LIKE '%semi-sync%' \
                     AND ID <> CONNECTION_ID()";
        while admin.values(waits).await.unwrap().is_empty() {}
        token.cancel_query().await.unwrap();
    };
    let (ended, ()) = tokio::join!(killed.run("INSERT INTO shop.t VALUES (1)"), kill);
    drop(ended);
    let seen = "SELECT CAST(i AS CHAR) AS value FROM shop.t";
    assert_eq!(server.admin().await.values(seen).await.unwrap(), ["1"]);
}
