//! The spans of a unit over PostgreSQL, MariaDB and SQLite.

use diesel_binds::{BindOptions, Binds, CommitError, Error, Session};
use futures_util::FutureExt as _;
use kit::database::Database;
use kit::proxy::Proxy;
use kit::side::{MariadbA, PoolKind, PostgresA, Side, Sqlite};
use kit::world::{Sides, World};
use tracing::Instrument as _;

use crate::listener::{SpanOrEvent, listen, recorded_in, recorded_with};

pub(crate) type All = (PostgresA, MariadbA, Sqlite);

/// A value of a parameter that must not be in any trace.
const SECRET: &str = "the secret of a customer";

/// Runs a part of a test in a span of its own, and returns the spans and events within it.
pub(crate) async fn record(part: impl Future<Output = ()>) -> Vec<SpanOrEvent> {
    listen();
    let span = tracing::info_span!("request");
    part.instrument(span.clone()).await;
    recorded_in(&span)
}

pub(crate) async fn builder(databases: &[Database]) -> diesel_binds::BindsBuilder {
    let urls: Vec<String> = databases.iter().map(|d| d.url().to_owned()).collect();
    let builder = Binds::builder().namespace("traces");
    All::register(builder, &urls, PoolKind::Deadpool, &BindOptions::new()).await
}

pub(crate) fn named<'h>(recorded: &'h [SpanOrEvent], name: &str) -> Vec<&'h SpanOrEvent> {
    recorded
        .iter()
        .filter(|recorded| recorded.name == name)
        .collect()
}

/// Returns the only span of this name on a bind.
fn the<'h>(recorded: &'h [SpanOrEvent], name: &str, bind: &str) -> &'h SpanOrEvent {
    let found: Vec<_> = named(recorded, name)
        .into_iter()
        .filter(|recorded| recorded.field("bind") == bind)
        .collect();
    assert_eq!(found.len(), 1, "{name} on {bind}: {found:#?}");
    found[0]
}

fn the_unit(recorded: &[SpanOrEvent]) -> &SpanOrEvent {
    match named(recorded, "unit").as_slice() {
        [unit] => unit,
        others => panic!("one unit, but {others:#?}"),
    }
}

/// Returns the statements of an application, on all binds.
pub(crate) fn inserts(recorded: &[SpanOrEvent]) -> Vec<&SpanOrEvent> {
    let statements = named(recorded, "statement");
    statements
        .into_iter()
        .filter(|recorded| {
            recorded.field("db.operation.name") == "INSERT"
                && !recorded.field("db.query.text").contains("diesel_binds")
                && !recorded.field("db.query.text").is_empty()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_is_a_tree_of_spans_with_bind_and_gid() {
    let world = World::of::<All>(PoolKind::Deadpool).await;
    let mut gid = None;
    let recorded = record(async {
        let mut session = world.binds.session();
        All::write(&session, SECRET).await.unwrap();
        let committed = session.commit_all().await.unwrap();
        gid = committed.gid().cloned();
    })
    .await;
    let gid = gid.unwrap();

    let unit = the_unit(&recorded);
    assert_eq!(unit.within, ["request"]);
    assert_eq!(unit.field("unit"), gid.unit().to_string());
    assert_eq!(unit.field("gid"), gid.to_string());
    assert_eq!(unit.field("outcome"), "committed");
    assert_eq!(unit.field("application"), "suite");

    let systems = ["postgresql", "mariadb", "sqlite"];
    for ((bind, system), database) in All::keys().into_iter().zip(systems).zip(&world.databases) {
        let transaction = the(&recorded, "transaction", bind);
        assert_eq!(transaction.within, ["unit", "request"]);
        assert_eq!(transaction.field("unit"), gid.unit().to_string());
        assert_eq!(transaction.field("db.system.name"), system);
        let name = transaction.field("db.namespace");
        assert!(!name.is_empty() && database.url().contains(name), "{name}");

        let inserts = inserts(&recorded);
        let insert = inserts
            .iter()
            .find(|recorded| recorded.field("bind") == bind);
        let insert = insert.unwrap_or_else(|| panic!("no insert on {bind}: {recorded:#?}"));
        assert_eq!(insert.within, ["transaction", "unit", "request"]);
        assert_eq!(insert.target, "diesel_binds::statement");
        assert_eq!(insert.field("unit"), gid.unit().to_string());
        assert_eq!(insert.field("otel.kind"), "client");
        assert_eq!(insert.field("otel.name"), "INSERT");
        assert_eq!(insert.field("db.system.name"), system);
        assert_eq!(insert.field("db.namespace"), name);
        assert!(insert.field("db.query.text").starts_with("INSERT INTO"));
        assert_eq!(insert.field("error.type"), "");
    }

    let commits = named(&recorded, "commit");
    assert_eq!(commits.len(), 1);
    assert_eq!(commits[0].within, ["unit", "request"]);
    assert_eq!(commits[0].field("gid"), gid.to_string());
    assert_eq!(commits[0].field("outcome"), "committed");
    let mut steps: Vec<_> = named(&recorded, "step")
        .into_iter()
        .filter(|step| step.field("step") != "identify")
        .map(|step| {
            assert_eq!(step.within, ["commit", "unit", "request"]);
            assert_eq!(step.field("gid"), gid.to_string());
            (step.field("step"), step.field("bind"))
        })
        .collect();
    steps.sort_unstable();
    let expected = [
        ("apply", "my-a"),
        ("apply", "pg-a"),
        ("decide", "lite"),
        ("prepare", "my-a"),
        ("prepare", "pg-a"),
    ];
    assert_eq!(steps, expected);
    // The statements of a step stand below it, even though SQLite has a thread of its own.
    for bind in All::keys() {
        assert!(
            named(&recorded, "statement")
                .iter()
                .any(|recorded| recorded.field("bind") == bind
                    && recorded.within == ["step", "commit", "unit", "request"]),
            "{bind}"
        );
    }
    assert!(
        recorded.iter().all(|recorded| recorded.is_closed),
        "{recorded:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_trace_has_a_parameter_or_a_password() {
    let world = World::of::<All>(PoolKind::Deadpool).await;
    let recorded = record(async {
        let mut session = world.binds.session();
        All::write(&session, SECRET).await.unwrap();
        session.commit_all().await.unwrap();
        // The message of MariaDB repeats the value, and a batch contains it.
        for bind in 0..3 {
            let session = world.binds.session();
            let failed = match bind {
                0 => PostgresA::write(&session, SECRET).await,
                1 => MariadbA::write(&session, SECRET).await,
                _ => Sqlite::write(&session, SECRET).await,
            };
            assert!(matches!(failed, Err(Error::Query { .. })), "{failed:?}");
        }
        batch::<PostgresA>(&world.binds.session()).await;
        batch::<MariadbA>(&world.binds.session()).await;
        batch::<Sqlite>(&world.binds.session()).await;
    })
    .await;
    let text = format!("{recorded:?}");
    assert!(!text.contains(SECRET), "{recorded:#?}");
    assert!(!text.contains("app-secret"), "{recorded:#?}");
    assert!(!text.contains("://"), "no URL at all: {recorded:#?}");
}

async fn batch<S: Side>(session: &Session) {
    use diesel_async::SimpleAsyncConnection as _;

    let mut connection = session.connection(S::bind()).await.unwrap();
    let batch = format!("INSERT INTO notes (text) VALUES ('{SECRET} as well')");
    connection
        .raw()
        .unwrap()
        .batch_execute(&batch)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_shown_to_who_asked_for_them() {
    let databases = All::databases().await;
    let binds = builder(&databases)
        .await
        .trace_parameters()
        .build()
        .unwrap();
    let recorded = record(async {
        let session = binds.session();
        All::write(&session, SECRET).await.unwrap();
        MariadbA::write(&session, SECRET).await.unwrap_err();
    })
    .await;
    let inserts = inserts(&recorded);
    assert_eq!(inserts.len(), 4);
    for insert in inserts {
        assert!(
            insert.field("db.query.parameters").contains(SECRET),
            "{insert:#?}"
        );
        assert!(
            !insert.field("db.query.text").contains(SECRET),
            "{insert:#?}"
        );
    }
    let failures: Vec<_> = named(&recorded, "event");
    assert!(
        failures
            .iter()
            .any(|event| event.field("error").contains(SECRET)),
        "{failures:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_statement_and_a_unit_that_rolls_back_are_marked() {
    let world = World::of::<All>(PoolKind::Bb8).await;
    let recorded = record(async {
        for bind in 0..3 {
            let mut session = world.binds.session();
            for _ in 0..2 {
                let _ = match bind {
                    0 => PostgresA::write(&session, "twice").await,
                    1 => MariadbA::write(&session, "twice").await,
                    _ => Sqlite::write(&session, "twice").await,
                };
            }
            session.rollback_all().await.unwrap();
        }
    })
    .await;
    for bind in All::keys() {
        let inserts: Vec<_> = inserts(&recorded)
            .into_iter()
            .filter(|recorded| recorded.field("bind") == bind)
            .collect();
        let [first, second] = inserts.as_slice() else {
            panic!("two inserts on {bind}: {inserts:#?}");
        };
        assert_eq!(first.field("error.type"), "");
        assert_eq!(second.field("error.type"), "UniqueViolation");
        let code = if bind.starts_with("pg") { "23505" } else { "" };
        assert_eq!(second.field("db.response.status_code"), code);
        assert_eq!(second.field("otel.status_code"), "ERROR");
    }
    let units = named(&recorded, "unit");
    assert_eq!(units.len(), 3);
    for unit in units {
        assert_eq!(unit.field("outcome"), "rolled back");
        assert!(unit.is_closed);
    }
    assert_eq!(named(&recorded, "roll-back").len(), 3);
    let failures = named(&recorded, "event");
    let failures = failures
        .iter()
        .filter(|event| event.field("error.type") == "UniqueViolation");
    assert_eq!(failures.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_says_where_and_why() {
    let database = PostgresA::database().await;
    PostgresA::admin(
        &database,
        "CREATE TABLE once (id INTEGER UNIQUE DEFERRABLE INITIALLY DEFERRED)",
    )
    .await;
    let binds = PostgresA::register(
        Binds::builder(),
        database.url(),
        PoolKind::Deadpool,
        1,
        BindOptions::new(),
    )
    .await
    .build()
    .unwrap();
    let recorded = record(async {
        let mut session = binds.session();
        PostgresA::sql(&session, "INSERT INTO once VALUES (1), (1)")
            .await
            .unwrap();
        let failed = session.commit_all().await;
        assert!(matches!(failed, Err(CommitError::RolledBack { .. })));
    })
    .await;
    let unit = the_unit(&recorded);
    assert_eq!(unit.field("outcome"), "rolled back");
    assert_eq!(unit.field("error.type"), "RolledBack");
    let step = the(&recorded, "step", "pg-a");
    assert_eq!(step.field("step"), "commit");
    assert_eq!(step.field("error.type"), "Refused");
    assert_eq!(step.field("otel.status_code"), "ERROR");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_dropped_ends_its_spans() {
    let world = World::of::<All>(PoolKind::Deadpool).await;
    let recorded = record(async {
        let session = world.binds.session();
        All::write(&session, "dropped").await.unwrap();
        drop(session);
        // `close` waits for the roll-backs.
        world.binds.close().await;
    })
    .await;
    assert_eq!(the_unit(&recorded).field("outcome"), "rolled back");
    assert!(
        recorded.iter().all(|recorded| recorded.is_closed),
        "{recorded:#?}"
    );
}

/// The server does not answer, and the runtime of the commit goes away.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_its_runtime_drops_is_unknown() {
    listen();
    let database = PostgresA::database().await;
    let proxy = Proxy::start(database.url()).await;
    let url = proxy.url(database.url());
    let unit = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let builder = Binds::builder();
            let (pool, options) = (PoolKind::Deadpool, BindOptions::new());
            let builder = PostgresA::register(builder, &url, pool, 1, options).await;
            let mut session = builder.build().unwrap().session();
            let unit = session.unit().to_string();
            PostgresA::write(&session, "unknown").await.unwrap();
            proxy.stall();
            assert!(session.commit_all().now_or_never().is_none());
            while named(&recorded_with("unit", &unit), "commit").is_empty() {
                tokio::task::yield_now().await;
            }
            unit
        })
    });
    let recorded = recorded_with("unit", &unit.await.unwrap());
    assert_eq!(the_unit(&recorded).field("outcome"), "unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_a_query_has_no_span() {
    let world = World::of::<(Sqlite,)>(PoolKind::Deadpool).await;
    let recorded = record(async {
        world.binds.session().commit_all().await.unwrap();
        world.binds.session().rollback_all().await.unwrap();
    })
    .await;
    assert!(named(&recorded, "unit").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_stands_in_the_span_that_its_caller_opened() {
    let world = World::of::<All>(PoolKind::Deadpool).await;
    let recorded = record(async {
        let session = world.binds.session();
        All::write(&session, "outside").await.unwrap();
        All::read(&session)
            .instrument(tracing::info_span!("load the notes"))
            .await
            .unwrap();
    })
    .await;
    let selects: Vec<_> = named(&recorded, "statement")
        .into_iter()
        .filter(|recorded| recorded.field("db.query.text").contains("ORDER BY"))
        .collect();
    assert_eq!(selects.len(), 3);
    for select in selects {
        assert_eq!(select.within, ["load the notes", "request"]);
        assert!(!select.field("unit").is_empty());
    }
}
