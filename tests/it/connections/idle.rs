//! The idle connections of a pool that is made of a URL, and of a ready pool whose server is left.

use std::time::Duration;

use diesel_binds::build::FromUrl;
use diesel_binds::{Bind, Binds, Error, PoolOptions, RecoveryOptions, Session, Source};
use futures_util::future::join_all;
use kit::admin::Admin;
use kit::database::Database;
use kit::look::Look;
use kit::own_server::OwnServer;
use kit::proxy::Proxy;
use kit::servers::Server;
use kit::side::{MariadbA, PostgresA, Side, Sqlite};
use kit::standby::Standby;
use tokio::time::{Instant, sleep};

/// The time limit in which nothing is closed during a test.
const LONG: Duration = Duration::from_secs(600);

/// The longest wait for something that happens soon.
const LONGEST: Duration = Duration::from_secs(60);

const SHORT: Duration = Duration::from_millis(50);

/// Mounts each behaviour on both servers.
macro_rules! on_servers {
    ($($behaviour:ident),+ $(,)?) => {
        $(mod $behaviour {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                super::$behaviour::<PostgresA>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn mariadb() {
                super::$behaviour::<MariadbA>().await;
            }
        })+
    };
}

on_servers!(
    unused_connections_are_closed,
    connections_of_a_burst_are_closed,
    connections_are_opened_ahead_of_their_use,
    an_old_connection_is_not_used_again,
    a_killed_connection_is_found_before_its_use,
    a_server_that_hangs_costs_one_check,
    a_ping_names_the_database_that_does_not_answer,
);

/// Returns options that close nothing.
fn keeping(size: usize) -> PoolOptions {
    PoolOptions::new()
        .max_size(size)
        .idle_timeout(None)
        .max_lifetime(None)
}

fn binds<S: Side>(url: &str, options: PoolOptions) -> Binds
where
    <S::Bind as Bind>::Connection: FromUrl,
{
    let source = Source::url(url).pool_options(options);
    Binds::builder().bind(S::bind(), source).build().unwrap()
}

/// Uses this many connections at once.
async fn use_at_once<S: Side>(binds: &Binds, count: usize) {
    let sessions: Vec<Session> = (0..count).map(|_| binds.session()).collect();
    for read in join_all(sessions.iter().map(S::read)).await {
        read.unwrap();
    }
    for mut session in sessions {
        session.rollback_all().await.unwrap();
    }
}

/// Looks at a database that has no connections.
async fn look_at(database: &Database) -> Look {
    let mut look = Look::at(database).await;
    // The connection that made the tables may still be closing.
    until_connections(&mut look, 0).await;
    look
}

/// Waits until the database has this many connections beside that of the test.
async fn until_connections(look: &mut Look, count: usize) -> Vec<String> {
    let end = Instant::now() + LONGEST;
    loop {
        let found = look.connections().await;
        if found.len() == count {
            return found;
        }
        assert!(Instant::now() < end, "{found:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Returns the numbers of the connections of the database beside that of the test.
async fn numbers(look: &mut Look) -> Vec<String> {
    let number = |line: &String| line.split(' ').next().unwrap().to_owned();
    look.connections().await.iter().map(number).collect()
}

async fn unused_connections_are_closed<S: Side>()
where
    <S::Bind as Bind>::Connection: FromUrl,
{
    let database = S::database().await;
    let mut look = look_at(&database).await;
    let binds = binds::<S>(database.url(), keeping(3).idle_timeout(SHORT));
    use_at_once::<S>(&binds, 3).await;
    until_connections(&mut look, 0).await;
    use_at_once::<S>(&binds, 3).await;
}

/// One after the other, units use one connection. The others would stay if all were used in turn.
async fn connections_of_a_burst_are_closed<S: Side>()
where
    <S::Bind as Bind>::Connection: FromUrl,
{
    let database = S::database().await;
    let mut look = look_at(&database).await;
    let limit = Duration::from_millis(500);
    let binds = binds::<S>(database.url(), keeping(3).idle_timeout(limit));
    use_at_once::<S>(&binds, 3).await;
    let end = Instant::now() + LONGEST;
    while look.connections().await.len() > 1 {
        assert!(Instant::now() < end, "connections stay");
        use_at_once::<S>(&binds, 1).await;
    }
}

async fn connections_are_opened_ahead_of_their_use<S: Side>()
where
    <S::Bind as Bind>::Connection: FromUrl,
{
    let database = S::database().await;
    let mut look = look_at(&database).await;
    let options = keeping(5).min_idle(2).idle_timeout(SHORT);
    let binds = binds::<S>(database.url(), options);
    until_connections(&mut look, 2).await;
    use_at_once::<S>(&binds, 5).await;
    // Those beyond the minimum are unused.
    until_connections(&mut look, 2).await;
}

async fn an_old_connection_is_not_used_again<S: Side>()
where
    <S::Bind as Bind>::Connection: FromUrl,
{
    let database = S::database().await;
    let mut look = look_at(&database).await;
    // So seldom that no upkeep runs in between.
    let options = keeping(1).max_lifetime(Duration::from_secs(2));
    let binds = binds::<S>(database.url(), options);
    use_at_once::<S>(&binds, 1).await;
    let first = numbers(&mut look).await;
    use_at_once::<S>(&binds, 1).await;
    assert_eq!(numbers(&mut look).await, first, "it is young");
    sleep(Duration::from_secs(2)).await;
    use_at_once::<S>(&binds, 1).await;
    let second = until_connections(&mut look, 1).await;
    assert!(!second[0].starts_with(&first[0]), "{first:?} {second:?}");
}

async fn a_killed_connection_is_found_before_its_use<S: Side>()
where
    <S::Bind as Bind>::Connection: FromUrl,
{
    let database = S::database().await;
    let mut look = look_at(&database).await;
    let options = keeping(2).min_idle(1).keepalive(SHORT);
    let _binds = binds::<S>(database.url(), options);
    until_connections(&mut look, 1).await;
    let first = numbers(&mut look).await.remove(0);
    let kill = match S::Bind::KEY.starts_with("pg") {
        true => format!("SELECT pg_terminate_backend({first})"),
        false => format!("KILL {first}"),
    };
    let mut admin = Admin::connect(database.url()).await;
    admin.run(&kill).await.unwrap();
    drop(admin);
    // Another connection takes its place without a session.
    let end = Instant::now() + LONGEST;
    while numbers(&mut look)
        .await
        .first()
        .is_none_or(|now| *now == first)
    {
        assert!(Instant::now() < end, "{first} stays");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Returns the messages and connections that a unit costs while the server hangs, with this many idle connections.
async fn cost_of_a_hang<S: Side>(idle: usize) -> (usize, usize)
where
    <S::Bind as Bind>::Connection: FromUrl,
{
    let database = S::database().await;
    let proxy = Proxy::start(database.url()).await;
    let url = proxy.url(database.url());
    let options = keeping(4).connect_timeout(Duration::from_millis(500));
    let binds = binds::<S>(&url, options);
    use_at_once::<S>(&binds, idle).await;
    let before = (proxy.messages(), proxy.connections());
    proxy.stall();
    let error = S::read(&binds.session()).await.unwrap_err();
    assert!(
        matches!(error, Error::Pool { bind, .. } if bind == S::Bind::KEY),
        "{error:?}"
    );
    let after = (proxy.messages(), proxy.connections());
    proxy.resume();
    use_at_once::<S>(&binds, 4).await;
    let answering = proxy.connections();
    use_at_once::<S>(&binds, 4).await;
    assert_eq!(proxy.connections(), answering, "they are used again");
    (after.0 - before.0, after.1 - before.1)
}

async fn a_server_that_hangs_costs_one_check<S: Side>()
where
    <S::Bind as Bind>::Connection: FromUrl,
{
    let (messages, connections) = cost_of_a_hang::<S>(1).await;
    assert_eq!(connections, 1, "a new one is tried");
    assert_eq!(cost_of_a_hang::<S>(4).await, (messages, connections));
}

async fn a_ping_names_the_database_that_does_not_answer<S: Side>()
where
    <S::Bind as Bind>::Connection: FromUrl,
{
    let (database, file) = (S::database().await, Sqlite::database().await);
    let proxy = Proxy::start(database.url()).await;
    let url = proxy.url(database.url());
    let limits = keeping(1).connect_timeout(LONG).checkout_timeout(LONG);
    let binds = Binds::builder()
        .namespace("ping")
        // The worker of recovery opens connections of its own.
        .recovery(RecoveryOptions::new().without_worker())
        .bind(S::bind(), Source::url(url).pool_options(limits))
        .bind(Sqlite, Source::url(file.url()))
        .build()
        .unwrap();
    let report = binds.ping(LONG).await;
    assert!(report.is_ok(), "{report}");

    proxy.stall();
    let report = binds.ping(Duration::from_millis(200)).await;
    assert!(!report.is_ok(), "{report}");
    let json = serde_json::to_value(&report).unwrap();
    let of = |key: &str| {
        let binds = json["binds"].as_array().unwrap().iter();
        let mut found = binds.filter(|bind| bind["bind"] == key);
        found.next().unwrap()["problem"].clone()
    };
    assert!(
        of(S::Bind::KEY).as_str().unwrap().contains(S::Bind::KEY),
        "{json}"
    );
    assert!(of(Sqlite::KEY).is_null(), "{json}");

    proxy.resume();
    let report = binds.ping(LONG).await;
    assert!(report.is_ok(), "{report}");
    assert_eq!(proxy.connections(), 2, "the one that was late is closed");
}

/// Fails to write with an error that says that the server accepts no writes, and looks for connections that stay.
async fn is_left<S: Side>(url: &str, admin: &mut Admin, connections: &str)
where
    <S::Bind as Bind>::Connection: FromUrl,
{
    let binds = binds::<S>(url, keeping(3));
    use_at_once::<S>(&binds, 3).await;
    assert_eq!(admin.values(connections).await.unwrap(), ["3"]);
    let session = binds.session();
    let error = S::write(&session, "refused").await.unwrap_err();
    assert!(matches!(error, Error::Query { .. }), "{error:?}");
    drop(session);
    let end = Instant::now() + LONGEST;
    while admin.values(connections).await.unwrap() != ["0"] {
        assert!(Instant::now() < end, "connections stay");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_of_postgres_is_left_after_a_refused_write() {
    let database: Database = PostgresA::database().await;
    let standby = Standby::of(Server::PostgresA).await;
    standby.catches_up(database.url()).await;
    let url = standby.url(database.url());
    let mut admin = Admin::connect(&url).await;
    let connections = "SELECT count(*)::text AS value FROM pg_stat_activity \
                       WHERE datname = current_database() AND pid <> pg_backend_pid()";
    is_left::<PostgresA>(&url, &mut admin, connections).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_mariadb_server_is_left_after_a_refused_write() {
    let folder = tempfile::tempdir().unwrap();
    let server = OwnServer::like(Server::MariadbA, folder, &[]).await;
    let mut admin = server.admin("mysql").await;
    // An administrator may write on a server that is read-only.
    admin
        .run(
            "CREATE DATABASE shop; CREATE TABLE shop.notes (id INTEGER AUTO_INCREMENT PRIMARY KEY, text VARCHAR(200) NOT NULL UNIQUE); \
             CREATE USER app@'%'; GRANT ALL ON shop.* TO app@'%'; SET GLOBAL read_only = ON",
        )
        .await
        .unwrap();
    let url = server.url("app", "shop", "prefer_socket=false");
    let connections = "SELECT CAST(COUNT(*) AS CHAR) AS value FROM information_schema.processlist WHERE USER = 'app'";
    is_left::<MariadbA>(&url, &mut admin, connections).await;
}

/// The database would be gone with its last connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_memory_is_kept() {
    let limits = PoolOptions::new()
        .max_size(1)
        .idle_timeout(SHORT)
        .max_lifetime(SHORT);
    let binds = binds::<Sqlite>("file:kept?mode=memory&cache=shared", limits);
    let mut session = binds.session();
    let create = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)";
    Sqlite::read_sql(&session, create).await.unwrap();
    Sqlite::write(&session, "kept").await.unwrap();
    session.commit_all().await.unwrap();
    sleep(SHORT * 4).await;
    let rows = Sqlite::read(&binds.session()).await.unwrap();
    assert_eq!(rows, ["kept"]);
}
