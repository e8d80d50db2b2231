//! The counts of units and their pools. The test is a program of its own, because its recorder is that of the whole
//! program.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::QueryDsl as _;
use diesel_binds::testing::{Effect, FaultPlan};
use diesel_binds::{
    BindOptions, Binds, CommitError, Error, RecoveryOptions, RunQueryDsl as _, SessionOptions,
};
use kit::application::{Application, Left, Three};
use kit::side::postgres_a::notes;
use kit::side::{MariadbA, PoolKind, PostgresA, Side, Sqlite};
use kit::world::Sides;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

/// All recorded metrics, as an exporter would have them.
struct Recorded {
    snapshotter: Snapshotter,
    values: BTreeMap<String, f64>,
}

impl Recorded {
    fn listen() -> Self {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        recorder.install().unwrap();
        Self {
            snapshotter,
            values: BTreeMap::new(),
        }
    }

    /// Reads the metrics since the last reading. For histograms, it keeps the number of values.
    fn read(&mut self) {
        for (key, _, _, value) in self.snapshotter.snapshot().into_vec() {
            let (_, key) = key.into_parts();
            let mut labels: Vec<_> = key
                .labels()
                .map(|label| format!("{}={}", label.key(), label.value()))
                .collect();
            labels.sort();
            let name = format!("{} {}", key.name(), labels.join(" "));
            // The recorder resets counters and histograms with each reading, but not gauges.
            let is_set = ["state=idle", ".max ", ".in_doubt "]
                .iter()
                .any(|part| name.contains(part));
            let value = match value {
                DebugValue::Counter(count) => f64::from(u32::try_from(count).unwrap()),
                DebugValue::Gauge(value) => value.into_inner(),
                DebugValue::Histogram(values) => {
                    assert!(
                        values.iter().all(|value| value.into_inner() < 60.0),
                        "seconds"
                    );
                    f64::from(u32::try_from(values.len()).unwrap())
                }
            };
            let so_far = self.values.entry(name).or_default();
            *so_far = if is_set { value } else { *so_far + value };
        }
    }

    /// Returns the value of the one metric of this name with all these labels.
    fn value(&self, name: &str, labels: &[&str]) -> f64 {
        let mut found = self.values.iter().filter(|(key, _)| {
            key.split(' ').next() == Some(name)
                && labels
                    .iter()
                    .all(|label| key.split(' ').any(|part| part == *label))
        });
        let value = found.next().map_or(0.0, |(_, value)| *value);
        assert!(
            found.next().is_none(),
            "{name} {labels:?}: {:#?}",
            self.values
        );
        value
    }
}

const USED: &[&str] = &[
    "db.client.connection.pool.name=pg-a",
    "db.client.connection.state=used",
];
const IDLE: &[&str] = &[
    "db.client.connection.pool.name=pg-a",
    "db.client.connection.state=idle",
];
const IN_DOUBT: &str = "diesel_binds.in_doubt";
const POOL: &[&str] = &["db.client.connection.pool.name=pg-a"];

/// A single test, because there is one recorder.
#[tokio::test(flavor = "multi_thread")]
async fn units_statements_and_pools_are_counted() {
    let databases = (
        PostgresA::database().await,
        MariadbA::database().await,
        Sqlite::database().await,
    );
    let mut recorded = Recorded::listen();
    let builder = Binds::builder()
        .namespace("metrics")
        .recovery(RecoveryOptions::new().without_worker())
        .checkout_timeout(Duration::from_millis(300));
    let (pool, options) = (PoolKind::Deadpool, BindOptions::new);
    let builder = PostgresA::register(builder, databases.0.url(), pool, 1, options()).await;
    let builder = MariadbA::register(builder, databases.1.url(), pool, 1, options()).await;
    let builder = Sqlite::register(builder, databases.2.url(), PoolKind::Bb8, 1, options()).await;
    let binds = builder.build().unwrap();
    recorded.read();
    assert_eq!(recorded.value("db.client.connection.max", POOL), 1.0);

    // A unit has its connection until its end, and no other unit gets it.
    let mut session = binds.session();
    PostgresA::write(&session, "one").await.unwrap();
    MariadbA::write(&session, "one").await.unwrap();
    Sqlite::write(&session, "one").await.unwrap();
    recorded.read();
    assert_eq!(recorded.value("db.client.connection.count", USED), 1.0);
    assert_eq!(recorded.value("db.client.connection.count", IDLE), 0.0);
    let waits = tokio::spawn({
        let binds = binds.clone();
        async move { PostgresA::read(&binds.session()).await }
    });
    while recorded.value("db.client.connection.pending_requests", POOL) != 1.0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        recorded.read();
    }
    let refused = waits.await.unwrap();
    assert!(matches!(refused, Err(Error::Pool { .. })), "{refused:?}");
    recorded.read();
    assert_eq!(
        recorded.value("db.client.connection.pending_requests", POOL),
        0.0
    );
    assert_eq!(recorded.value("db.client.connection.timeouts", POOL), 1.0);
    session.commit_all().await.unwrap();
    recorded.read();
    assert_eq!(recorded.value("db.client.connection.count", USED), 0.0);
    assert_eq!(recorded.value("db.client.connection.count", IDLE), 1.0);
    assert_eq!(recorded.value("db.client.connection.use_time", POOL), 1.0);
    assert_eq!(recorded.value("db.client.connection.wait_time", POOL), 1.0);
    let units = |recorded: &Recorded, outcome: &str| {
        recorded.values[&format!("diesel_binds.units outcome={outcome}")]
    };
    assert_eq!(units(&recorded, "committed"), 1.0);

    // The statements, by server and by error.
    let operations = |recorded: &Recorded, bind: &str, system: &str, error: &str| {
        let labels = [bind, system];
        let found = recorded.values.iter().filter(|(key, _)| {
            key.starts_with("db.client.operation.duration")
                && labels.iter().all(|label| key.contains(label))
                && match error {
                    "" => !key.contains("error.type"),
                    error => key.contains(&format!("error.type={error}")),
                }
        });
        found.map(|(_, count)| count).sum::<f64>()
    };
    for (bind, system) in [
        ("bind=pg-a", "db.system.name=postgresql"),
        ("bind=my-a", "db.system.name=mariadb"),
        ("bind=lite", "db.system.name=sqlite"),
    ] {
        assert_eq!(operations(&recorded, bind, system, ""), 1.0, "{bind}");
    }
    let mut session = binds.session();
    PostgresA::write(&session, "one").await.unwrap_err();
    session.rollback_all().await.unwrap();
    recorded.read();
    let (bind, system) = ("bind=pg-a", "db.system.name=postgresql");
    assert_eq!(operations(&recorded, bind, system, "UniqueViolation"), 1.0);
    assert_eq!(operations(&recorded, bind, system, ""), 1.0);
    assert_eq!(units(&recorded, "rolled back"), 1.0);

    // A query without a row is no error. Both are read at once, because each reading resets the counts.
    for _ in 0..2 {
        let mut session = binds.session();
        let nothing = notes::table.find(7_000).first::<(i32, String)>(&session);
        assert!(nothing.await.is_err());
        session.rollback_all().await.unwrap();
    }
    let mut session = binds.session();
    PostgresA::read(&session).await.unwrap();
    recorded.read();
    assert_eq!(operations(&recorded, bind, system, "NotFound"), 0.0);
    assert_eq!(operations(&recorded, bind, system, ""), 4.0);
    assert_eq!(recorded.value("db.client.connection.count", USED), 1.0);
    assert_eq!(recorded.value("db.client.connection.count", IDLE), 0.0);
    session.rollback_all().await.unwrap();

    // The outcome of a lone commit whose reply is lost is unknown.
    let lost = FaultPlan::new().at("commit:my-a:after", Effect::Disconnect);
    let mut session = binds.with(SessionOptions::new().faults(&lost)).session();
    MariadbA::write(&session, "two").await.unwrap();
    let unknown = session.commit_all().await;
    assert!(
        matches!(unknown, Err(CommitError::Unknown { .. })),
        "{unknown:?}"
    );
    recorded.read();
    assert_eq!(units(&recorded, "unknown"), 1.0);

    // A dropped session counts as a roll-back, and one without a query does not count.
    let session = binds.session();
    PostgresA::write(&session, "three").await.unwrap();
    drop(session);
    drop(binds.session());
    binds.close().await;
    recorded.read();
    assert_eq!(units(&recorded, "rolled back"), 5.0);
    assert_eq!(units(&recorded, "committed"), 1.0);
    assert_eq!(recorded.value("db.client.connection.count", USED), 0.0);
    recovery_is_counted(&mut recorded).await;
}

/// Passes count the branches that they leave in doubt on each bind, those that they finish, and their own outcomes.
async fn recovery_is_counted(recorded: &mut Recorded) {
    let application = Application::new().await;
    let kept = application.leave(Left::Committed).await;
    let process = application.process().await;
    let numbers = |recorded: &mut Recorded| {
        recorded.read();
        let passes = ["complete", "in doubt", "failed"].map(|outcome| {
            let key = format!("diesel_binds.recovery.passes outcome={outcome}");
            recorded.values.get(&key).copied().unwrap_or_default()
        });
        let in_doubt = ["bind=pg-a", "bind=my-a"].map(|bind| recorded.value(IN_DOUBT, &[bind]));
        let recovered = ["committed", "rolled back"].map(|outcome| {
            let key = |bind| format!("diesel_binds.recovered bind={bind} outcome={outcome}");
            let count = |bind| recorded.values.get(&key(bind)).copied();
            assert_eq!(count("pg-a"), count("my-a"));
            count("pg-a").unwrap_or_default()
        });
        (passes, in_doubt, recovered)
    };
    // A list of the units in doubt counts nothing. Nor does a unit that its own process may be about to finish.
    let _ = process.recovery().in_doubt().await;
    assert_eq!(numbers(recorded), ([0.0; 3], [0.0; 2], [0.0; 2]));
    let young = process
        .recovery()
        .run_older_than(Duration::from_secs(3600))
        .await;
    assert_eq!(young.in_doubt.len(), 2, "{young}");
    assert_eq!(numbers(recorded), ([1.0, 0.0, 0.0], [0.0; 2], [0.0; 2]));

    // The holder's key leads to another file.
    let other = Sqlite::database().await;
    let lost = |url: [String; 3]| {
        let builder = Binds::builder()
            .namespace(&application.namespace)
            .recovery(RecoveryOptions::new().without_worker());
        async move {
            let (pool, options) = (PoolKind::Deadpool, BindOptions::new());
            let builder = Three::register(builder, &url, pool, &options).await;
            builder.build().unwrap()
        }
    };
    let urls: [String; 3] = application.urls().try_into().unwrap();
    let replaced = lost([urls[0].clone(), urls[1].clone(), other.url().to_owned()]).await;
    let _ = replaced.recovery().run_older_than(Duration::ZERO).await;
    // A bind that cannot be reached keeps its last value. Reading resets the counts, so both are read at once.
    let nowhere = "postgres://postgres@127.0.0.1:1/gone".to_owned();
    let down = lost([nowhere, urls[1].clone(), other.url().to_owned()]).await;
    let _ = down
        .recovery()
        .run_older_than(Duration::from_secs(3600))
        .await;
    assert_eq!(numbers(recorded), ([1.0, 1.0, 1.0], [1.0, 0.0], [0.0, 0.0]));

    let undone = application.leave(Left::Undecided).await;
    let pass = process.recovery().run_older_than(Duration::ZERO).await;
    assert!(pass.is_complete(), "{pass}");
    assert_eq!(numbers(recorded), ([2.0, 1.0, 1.0], [0.0, 0.0], [1.0, 1.0]));
    assert!(application.is_kept(&kept).await);
    assert!(!application.is_kept(&undone).await);
}
