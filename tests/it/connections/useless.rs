//! A connection of MariaDB or SQLite that no longer fits its database is closed at the end of its unit, and another one
//! takes its place.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diesel_async::AsyncConnection as _;
use diesel_binds::build::FromUrl;
use diesel_binds::{Bind, Binds, Error, PoolOptions, Retry, Session, Source};
use futures_util::FutureExt as _;
use kit::admin::Admin;
use kit::database::Database;
use kit::resetting::Resetting;
use kit::side::{MariadbA, Side, Sqlite};
use tokio::time::sleep;

/// A bind with one connection at most, and the number of connections that its pool has opened.
struct Counted {
    binds: Binds,
    opened: Arc<AtomicUsize>,
}

impl Counted {
    fn on<S: Side>(url: &str) -> Self
    where
        <S::Bind as Bind>::Connection: FromUrl,
    {
        let opened = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&opened);
        let source = Source::url(url)
            .pool_options(PoolOptions::new().max_size(1))
            .setup(move |url| {
                count.fetch_add(1, Ordering::SeqCst);
                <<S::Bind as Bind>::Connection>::establish(url).boxed()
            });
        let binds = Binds::builder().bind(S::bind(), source).build().unwrap();
        Self { binds, opened }
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }
}

/// Writes the text, at which a trigger fails, in a unit that then rolls back.
async fn fails<S: Side>(binds: &Binds, text: &str) -> Error {
    let mut session = binds.session();
    let error = S::write(&session, text).await.unwrap_err();
    session.rollback_all().await.unwrap();
    error
}

/// `trigger` fails with the server's error at the row `stale`, and with another one at the row `wrong`.
async fn is_replaced<S: Side>(database: &Database, trigger: &str)
where
    <S::Bind as Bind>::Connection: FromUrl,
{
    Admin::connect(database.url())
        .await
        .run(trigger)
        .await
        .unwrap();
    let counted = Counted::on::<S>(database.url());
    let binds = &counted.binds;
    let error = fails::<S>(binds, "wrong").await;
    assert!(matches!(error, Error::Query { .. }), "{error:?}");
    assert!(!error.is_retryable());
    S::read(&binds.session()).await.unwrap();
    assert_eq!(counted.opened(), 1, "the error is about the statement");

    let error = fails::<S>(binds, "stale").await;
    assert!(matches!(error, Error::StaleConnection { .. }), "{error:?}");
    assert!(error.is_retryable());
    S::read(&binds.session()).await.unwrap();
    assert_eq!(counted.opened(), 2, "the error is about the connection");

    // A unit that may be retried is run again automatically, on another connection.
    let attempts = AtomicUsize::new(0);
    binds
        .retrying(Retry::new())
        .transaction(async |session: &mut Session| {
            let text = match attempts.fetch_add(1, Ordering::SeqCst) {
                0 => "stale",
                _ => "kept",
            };
            S::write(session, text).await?;
            Ok::<_, Error>(())
        })
        .await
        .unwrap();
    assert_eq!(S::rows(database).await, ["kept"]);
    assert_eq!(counted.opened(), 3);
}

/// Returns the text of an error, from the messages of the server.
fn message(number: u16) -> String {
    let output = Command::new("perror")
        .args(["--silent", &number.to_string()])
        .output()
        .expect("`perror` comes with the server");
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().to_owned()
}

/// The server prepares a statement again by itself, and fails only if its tables change each time.
#[tokio::test]
async fn a_connection_of_mariadb_whose_statements_cannot_be_prepared_again_is_replaced() {
    let message = message(1615);
    assert_eq!(message, "Prepared statement needs to be re-prepared");
    let trigger = format!(
        "CREATE TRIGGER failing BEFORE INSERT ON notes FOR EACH ROW BEGIN \
         IF NEW.text = 'stale' THEN SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1615, MESSAGE_TEXT = '{message}'; END IF; \
         IF NEW.text = 'wrong' THEN SIGNAL SQLSTATE 'HY000' SET MESSAGE_TEXT = 'so: {message}'; END IF; END"
    );
    is_replaced::<MariadbA>(&MariadbA::database().await, &trigger).await;
}

/// SQLite prepares a statement again by itself, and fails only if the schema changes each time.
#[tokio::test]
async fn a_connection_of_sqlite_whose_statements_cannot_be_prepared_again_is_replaced() {
    let trigger = "CREATE TRIGGER failing BEFORE INSERT ON notes BEGIN \
         SELECT CASE NEW.text WHEN 'stale' THEN RAISE(ABORT, 'database schema has changed') \
         WHEN 'wrong' THEN RAISE(ABORT, 'so: database schema has changed') END; END";
    let database = Sqlite::database().await;
    is_replaced::<Sqlite>(&database, trigger).await;
}

/// A proxy lends the session to another client and resets it, and the server forgets the statements that the driver has
/// prepared there.
#[tokio::test]
async fn a_session_of_mariadb_that_forgot_its_statements_is_replaced() {
    let database = MariadbA::database().await;
    let proxy = Resetting::start(database.url(), b"@diesel_binds_unit = ").await;
    let counted = Counted::on::<MariadbA>(&proxy.url(database.url()));
    let binds = &counted.binds;
    for _ in 0..2 {
        let mut session = binds.session();
        MariadbA::read(&session).await.unwrap();
        session.rollback_all().await.unwrap();
    }
    assert_eq!(counted.opened(), 1);
    proxy.reset();
    let mut session = binds.session();
    let error = MariadbA::read(&session).await.unwrap_err();
    assert!(proxy.has_reset());
    assert!(matches!(error, Error::StaleConnection { .. }), "{error:?}");
    session.rollback_all().await.unwrap();
    MariadbA::read(&binds.session()).await.unwrap();
    assert_eq!(counted.opened(), 2);
}

/// An operator or the server ends the session while a statement runs, or between two units.
#[tokio::test]
async fn a_session_of_mariadb_that_was_killed_is_replaced() {
    let database = MariadbA::database().await;
    let counted = Counted::on::<MariadbA>(database.url());
    let binds = &counted.binds;
    let mut admin = Admin::connect(database.url()).await;
    let others = "SELECT CAST(ID AS CHAR) AS value FROM information_schema.PROCESSLIST \
                  WHERE DB = DATABASE() AND ID <> CONNECTION_ID() AND INFO LIKE '%SLEEP(%'";
    for round in 1..=2 {
        let mut session = binds.session();
        MariadbA::write(&session, "gone").await.unwrap();
        let kill = async {
            loop {
                if let [id] = &admin.values(others).await.unwrap()[..] {
                    admin.run(&format!("KILL {id}")).await.unwrap();
                    return;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        let (slow, ()) = tokio::join!(MariadbA::sql(&session, MariadbA::SLOW), kill);
        slow.unwrap_err();
        match round {
            1 => drop(session.rollback_all().await),
            _ => drop(session),
        }
        assert!(MariadbA::read(&binds.session()).await.unwrap().is_empty());
        assert_eq!(counted.opened(), 1 + round);
    }
}
