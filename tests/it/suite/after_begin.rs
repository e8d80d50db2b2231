//! Hooks that an application runs at the begin of each transaction of a bind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use diesel_async::SimpleAsyncConnection as _;
use diesel_binds::build::BuildProblem;
use diesel_binds::error::AbortReason;
use diesel_binds::{Bind, BindOptions, Binds, Error};
use futures_util::FutureExt as _;
use kit::side::{PoolKind, Side};
use kit::world::{Sides, World, urls};

use crate::suite::second::Second;

/// Returns a pool of one connection, on which `sql` runs at each begin.
async fn world<S: Side, Other: Second>(pool: PoolKind, sql: &'static str) -> World {
    let builder = World::builder::<Other::With<S>>().pool(pool).size(1);
    let builder = builder.binds(|binds| {
        binds.after_begin(S::bind(), move |connection| {
            Box::pin(connection.batch_execute(sql))
        })
    });
    builder.build().await
}

/// This includes the writes of a unit that only reads: the server is asked for them.
pub(crate) async fn after_begin_writes_belong_to_the_unit<S: Side, Other: Second>(pool: PoolKind) {
    let once = "INSERT INTO notes (text) VALUES ('begun')";
    let world = world::<S, Other>(pool, once).await;
    let mut session = world.binds.session();
    assert_eq!(S::read(&session).await.unwrap(), ["begun"]);
    // The hook runs once for each transaction.
    assert_eq!(S::read(&session).await.unwrap(), ["begun"]);
    session.rollback_all().await.unwrap();
    assert_eq!(S::rows(&world.databases[0]).await, [""; 0]);
    assert_eq!(S::read(&session).await.unwrap(), ["begun"]);
    Other::write(&session, "other").await.unwrap();
    let committed = session.commit_all().await.unwrap();
    assert_eq!(committed.gid().is_some(), world.databases.len() == 2);
    assert_eq!(S::rows(&world.databases[0]).await, ["begun"]);
}

/// The writes of the hook stay when the unit goes back to a savepoint that was open at the begin.
pub(crate) async fn after_begin_writes_survive_a_savepoint_that_is_undone<
    S: Side,
    Other: Second,
>(
    pool: PoolKind,
) {
    let world = world::<S, Other>(pool, "INSERT INTO notes (text) VALUES ('begun')").await;
    let mut session = world.binds.session();
    let undone = session
        .savepoint::<(), Error, _>(async |session| {
            session
                .savepoint::<(), Error, _>(async |session| {
                    S::write(session, "gone").await?;
                    Err(Error::InsideUnit)
                })
                .await
        })
        .await;
    undone.unwrap_err();
    assert_eq!(S::read(&session).await.unwrap(), ["begun"]);
    S::write(&session, "kept").await.unwrap();
    session.commit_all().await.unwrap();
    assert_eq!(S::rows(&world.databases[0]).await, ["begun", "kept"]);
}

pub(crate) async fn a_hook_that_fails_lets_no_query_run<S: Side, Other: Second>(pool: PoolKind) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&runs);
    let builder = World::builder::<Other::With<S>>().pool(pool).size(1);
    let builder = builder.binds(|binds| {
        binds.after_begin(S::bind(), move |connection| {
            let run = counting.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                match run {
                    0 => connection.batch_execute("SELECT 1 FROM nowhere").await,
                    1 => panic!("as it should be in this test"),
                    2 => std::future::pending().await,
                    _ => Ok(()),
                }
            })
        })
    });
    let world = builder.build().await;
    let mut session = world.binds.session();
    Other::write(&session, "other").await.unwrap();
    let failed = S::write(&session, "not run").await.unwrap_err();
    assert!(
        matches!(failed, Error::AfterBegin { bind, .. } if bind == S::Bind::KEY),
        "{failed:?}"
    );
    for ending in ["panicked", "dropped"] {
        session.rollback_all().await.unwrap();
        let left = std::panic::AssertUnwindSafe(async {
            tokio::select! {
                biased;
                _ = S::write(&session, "not run") => unreachable!("it never runs"),
                () = async {
                    while runs.load(Ordering::SeqCst) < 3 {
                        tokio::task::yield_now().await;
                    }
                } => {}
            }
        });
        assert_eq!(left.catch_unwind().await.is_err(), ending == "panicked");
        let refused = S::write(&session, "not run").await;
        assert!(
            matches!(
                refused,
                Err(Error::AbortOnly {
                    reason: AbortReason::Incomplete,
                    ..
                })
            ),
            "{refused:?}"
        );
    }
    session.rollback_all().await.unwrap();
    S::write(&session, "kept").await.unwrap();
    session.commit_all().await.unwrap();
    assert_eq!(S::rows(&world.databases[0]).await, ["kept"]);
}

/// Otherwise the statements of the unit would commit by themselves.
pub(crate) async fn a_hook_must_not_end_the_transaction<S: Side, Other: Second>(pool: PoolKind) {
    let world = world::<S, Other>(pool, "COMMIT").await;
    let mut session = world.binds.session();
    let refused = S::write(&session, "by itself").await;
    // Within a branch, MariaDB refuses the `COMMIT`.
    assert!(
        matches!(
            refused,
            Err(Error::AbortOnly {
                reason: AbortReason::TransactionEnded,
                ..
            } | Error::AfterBegin { .. })
        ),
        "{refused:?}"
    );
    // The hook's own `COMMIT` determines which of its earlier writes are kept.
    match session.rollback_all().await {
        Ok(()) => assert!(matches!(refused, Err(Error::AfterBegin { .. }))),
        Err(ended) => assert!(ended.is_in_doubt(), "{ended:?}"),
    }
    assert_eq!(S::rows(&world.databases[0]).await, [""; 0]);
}

/// The next user of the connection has its usual role and schemas, however the unit ended.
pub(crate) async fn local_settings_of_after_begin_never_reach_the_next_user<
    S: Side,
    Other: Second,
>(
    pool: PoolKind,
) {
    let databases = <Other::With<S> as Sides>::databases().await;
    let database = &databases[0];
    // Roles belong to the whole server.
    let role = database.url().rsplit('/').next().unwrap().to_owned();
    let sql = format!(
        "CREATE SCHEMA other; CREATE TABLE other.notes (id SERIAL PRIMARY KEY, text TEXT); \
         CREATE ROLE {role}; GRANT ALL ON SCHEMA other, public TO {role}; \
         GRANT ALL ON ALL TABLES IN SCHEMA other TO {role}; \
         GRANT ALL ON ALL SEQUENCES IN SCHEMA other TO {role}"
    );
    S::admin(database, &sql).await;
    let set = format!("SET LOCAL search_path = other; SET LOCAL ROLE {role}");
    let sets = Arc::new(AtomicBool::new(false));
    let by_hook = Arc::clone(&sets);
    let builder = World::builder::<Other::With<S>>().pool(pool).size(1);
    let builder = builder.binds(|binds| {
        binds.after_begin(S::bind(), move |connection| {
            let set = by_hook.load(Ordering::SeqCst).then(|| set.clone());
            Box::pin(async move {
                match set {
                    Some(set) => connection.batch_execute(&set).await,
                    None => Ok(()),
                }
            })
        })
    });
    let binds = builder.connect(&urls(&databases)).await;
    let found = "SELECT concat_ws(' ', current_user, current_setting('search_path')) AS text";
    let mut session = binds.session();
    let before = S::text(&session, found).await.unwrap();
    session.rollback_all().await.unwrap();
    for ending in ["committed", "together", "rolled back", "dropped", "failed"] {
        sets.store(true, Ordering::SeqCst);
        let mut session = binds.session();
        S::write(&session, ending).await.unwrap();
        let within = S::text(&session, found).await.unwrap();
        assert_eq!(within, format!("{role} other"));
        match ending {
            "committed" => drop(session.commit_all().await.unwrap()),
            "together" => {
                Other::write(&session, ending).await.unwrap();
                drop(session.commit_all().await.unwrap());
            }
            "rolled back" => session.rollback_all().await.unwrap(),
            "failed" => {
                S::sql(&session, "not SQL").await.unwrap_err();
                session.commit_all().await.unwrap_err();
            }
            _ => drop(session),
        }
        sets.store(false, Ordering::SeqCst);
        let mut session = binds.session();
        assert_eq!(S::text(&session, found).await.unwrap(), before, "{ending}");
        session.rollback_all().await.unwrap();
    }
    sets.store(true, Ordering::SeqCst);
    let mut session = binds.session();
    assert_eq!(S::read(&session).await.unwrap(), ["committed", "together"]);
    session.rollback_all().await.unwrap();
    assert_eq!(S::rows(database).await, [""; 0]);
    drop((session, binds));
    let sql = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    S::admin(database, &sql).await;
}

pub(crate) async fn a_hook_of_no_bind_is_a_mistake<S: Side, Other: Side>(pool: PoolKind) {
    let builder = Binds::builder().after_begin(Other::bind(), |_| Box::pin(async { Ok(()) }));
    let builder = S::register(builder, "", pool, 1, BindOptions::new()).await;
    let error = builder.build().unwrap_err();
    assert_eq!(
        error.problems(),
        [BuildProblem::UnknownHook {
            bind: Other::Bind::KEY
        }]
    );
}
