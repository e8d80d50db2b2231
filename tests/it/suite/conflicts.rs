//! Many units that change the same two rows in opposite orders: each is run again until it commits, and the application
//! gets no error.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use diesel_binds::{Error, Isolation, Retry, Session, SessionOptions};
use kit::admin::Admin;
use kit::side::{PoolKind, Side};
use kit::world::World;
use parking_lot::Mutex;
use tokio::sync::{Barrier, Notify};

use crate::suite::second::Second;

const UNITS: u32 = 40;

/// The meeting of the units that makes a first conflict certain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meeting {
    /// Two units change a row each before the others begin, and before they change their other row.
    Rows,
    /// All units read before the first one writes.
    Reads,
    /// The first unit holds the lock of the file until it was refused to another one.
    File,
}

/// The kind of the units.
struct Contention {
    options: SessionOptions,
    /// Statements on the database before all units, or none.
    before: &'static str,
    /// Statements at the begin of each unit, or none.
    setup: &'static str,
    meeting: Meeting,
    /// Each row becomes the value that the unit has read and one, so that two units that overlap would lose a change.
    writes_what_it_read: bool,
}

/// The conflicts of all attempts.
#[derive(Default)]
struct Seen {
    attempts: AtomicU32,
    /// By their codes.
    at_statements: Mutex<BTreeMap<&'static str, u32>>,
}

impl Seen {
    /// Counts the error of a statement, and passes it on.
    fn conflict(&self, error: Error) -> Error {
        *self.at_statements.lock().entry(code(&error)).or_default() += 1;
        error
    }
}

/// Returns the code of a conflict, as in the table of `docs/units.md`.
///
/// # Panics
///
/// If the table does not have it.
fn code(error: &Error) -> &'static str {
    use diesel::result::{DatabaseErrorKind, Error as Diesel};

    let text = match error.diesel() {
        Some(Diesel::DatabaseError(DatabaseErrorKind::SerializationFailure, _)) => return "40001",
        Some(error) => error.to_string(),
        None => panic!("no conflict: {error:?}"),
    };
    let table = [
        ("deadlock detected", "40P01"),
        ("Deadlock found", "1213"),
        ("Lock wait timeout exceeded", "1205"),
        ("Record has changed since last read", "1020"),
        ("database is locked", "SQLITE_BUSY"),
    ];
    match table.iter().find(|(part, _)| text.contains(part)) {
        Some((_, code)) => code,
        None => panic!("no conflict: {error:?}"),
    }
}

/// Runs the units, and asserts that each committed and that no change is lost.
async fn contend<S: Side, Other: Second>(pool: PoolKind, how: Contention) -> Arc<Seen> {
    let setup = how.setup;
    let world = World::builder::<Other::With<S>>()
        .pool(pool)
        .size(1)
        .size_of(0, UNITS as usize)
        .binds(|binds| match setup {
            "" => binds,
            setup => binds.after_begin(S::bind(), move |connection| {
                use diesel_async::SimpleAsyncConnection as _;
                Box::pin(connection.batch_execute(setup))
            }),
        })
        .build()
        .await;
    let rows = "CREATE TABLE counters (id INTEGER PRIMARY KEY, value BIGINT NOT NULL); \
                INSERT INTO counters (id, value) VALUES (1, 0), (2, 0)";
    S::admin(&world.databases[0], &format!("{}{rows}", how.before)).await;

    let how = Arc::new(how);
    let seen = Arc::new(Seen::default());
    let all = Arc::new(Barrier::new(UNITS as usize));
    let refused = Arc::new(Notify::new());
    let units = (0..UNITS).map(|unit| {
        let binds = world.binds.clone();
        let (how, seen) = (Arc::clone(&how), Arc::clone(&seen));
        let (all, refused) = (Arc::clone(&all), Arc::clone(&refused));
        tokio::spawn(async move {
            let is_first = AtomicBool::new(true);
            let (shortest, longest) = (Duration::from_millis(1), Duration::from_millis(50));
            let retry = Retry::new().attempts(10_000).delay(shortest, longest);
            let retrying = binds.with(how.options.clone()).retrying(retry);
            let order = match unit % 2 {
                0 => [1, 2],
                _ => [2, 1],
            };
            let done = retrying.transaction::<(), Error, _>(async |session| {
                seen.attempts.fetch_add(1, Ordering::SeqCst);
                let meeting = is_first
                    .swap(false, Ordering::SeqCst)
                    .then_some((how.meeting, unit < 2));
                let attempt = async {
                    if meeting == Some((Meeting::Rows, false)) {
                        all.wait().await;
                    }
                    let values = [read::<S>(session, 1).await?, read::<S>(session, 2).await?];
                    let change = |id: usize| {
                        let value = match how.writes_what_it_read {
                            true => format!("{} + 1", values[id - 1]),
                            false => "value + 1".to_owned(),
                        };
                        format!("UPDATE counters SET value = {value} WHERE id = {id}")
                    };
                    if let Some((Meeting::Reads, _)) = meeting {
                        all.wait().await;
                    }
                    S::sql(session, &change(order[0])).await?;
                    match meeting {
                        Some((Meeting::Rows, true)) => {
                            all.wait().await;
                        }
                        Some((Meeting::File, _)) if unit == 0 => refused.notified().await,
                        _ => {}
                    }
                    S::sql(session, &change(order[1])).await
                };
                let attempted = attempt.await.map(drop);
                attempted.map_err(|error| {
                    refused.notify_one();
                    seen.conflict(error)
                })
            });
            done.await.map(drop)
        })
    });
    let units: Vec<_> = units.collect();
    for unit in units {
        unit.await.unwrap().unwrap();
    }

    let mut admin = Admin::connect(world.databases[0].url()).await;
    let values = "SELECT CONCAT(value, '') AS value FROM counters ORDER BY id";
    let values = admin.values(values).await.unwrap();
    assert_eq!(values, [UNITS.to_string(), UNITS.to_string()]);
    let retries = seen.attempts.load(Ordering::SeqCst) - UNITS;
    let at_statements = seen.at_statements.lock().clone();
    let at_commits = retries - at_statements.values().sum::<u32>();
    println!(
        "{}: {UNITS} units, {retries} retries: {at_statements:?}, {at_commits} at the commit",
        std::thread::current().name().unwrap_or_default()
    );
    assert!(retries > 0);
    seen
}

/// Returns the value of a row as the unit reads it.
async fn read<S: Side>(session: &Session, id: u32) -> Result<String, Error> {
    let query = format!("SELECT CONCAT(value, '') AS text FROM counters WHERE id = {id}");
    S::text(session, &query).await
}

impl Contention {
    /// Units that wait for locks of rows longer than this test takes.
    fn on_rows(isolation: Isolation) -> Self {
        let patient = SessionOptions::new().lock_timeout(Duration::from_secs(300));
        Self {
            options: patient.isolation(isolation),
            before: "",
            setup: "",
            meeting: match isolation {
                Isolation::ReadCommitted => Meeting::Rows,
                _ => Meeting::Reads,
            },
            writes_what_it_read: isolation != Isolation::ReadCommitted,
        }
    }
}

/// PostgreSQL looks for a deadlock only after a second.
const LOOK_SOON: &str = "SET LOCAL deadlock_timeout = '20ms'";

pub(crate) async fn deadlocked_units_all_commit_on_postgres<S: Side, Other: Second>(
    pool: PoolKind,
) {
    let how = Contention {
        setup: LOOK_SOON,
        ..Contention::on_rows(Isolation::ReadCommitted)
    };
    let seen = contend::<S, Other>(pool, how).await;
    assert!(seen.at_statements.lock().keys().eq(&["40P01"]));
}

pub(crate) async fn units_with_stale_snapshots_all_commit_on_postgres<S: Side, Other: Second>(
    pool: PoolKind,
) {
    for isolation in [Isolation::RepeatableRead, Isolation::Serializable] {
        let how = Contention {
            setup: LOOK_SOON,
            ..Contention::on_rows(isolation)
        };
        let seen = contend::<S, Other>(pool, how).await;
        assert!(seen.at_statements.lock().contains_key("40001"));
    }
}

pub(crate) async fn deadlocked_units_all_commit_on_mysql<S: Side, Other: Second>(pool: PoolKind) {
    for isolation in [Isolation::ReadCommitted, Isolation::Serializable] {
        let seen = contend::<S, Other>(pool, Contention::on_rows(isolation)).await;
        assert!(seen.at_statements.lock().keys().eq(&["1213"]));
    }
}

pub(crate) async fn units_with_stale_snapshots_all_commit_on_mariadb<S: Side, Other: Second>(
    pool: PoolKind,
) {
    let how = Contention {
        setup: "SET innodb_snapshot_isolation = ON",
        ..Contention::on_rows(Isolation::RepeatableRead)
    };
    let seen = contend::<S, Other>(pool, how).await;
    assert!(seen.at_statements.lock().contains_key("1020"));
}

/// A unit that may write locks the file at its begin.
pub(crate) async fn units_on_one_file_all_commit<S: Side, Other: Second>(pool: PoolKind) {
    for before in [
        "PRAGMA journal_mode = DELETE;",
        "PRAGMA journal_mode = WAL;",
    ] {
        let how = Contention {
            options: SessionOptions::new().lock_timeout(Duration::from_millis(1)),
            before,
            setup: "",
            meeting: Meeting::File,
            writes_what_it_read: true,
        };
        let seen = contend::<S, Other>(pool, how).await;
        assert!(seen.at_statements.lock().keys().eq(&["SQLITE_BUSY"]));
    }
}
