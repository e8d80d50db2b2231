//! The time that a session waits for a connection that another session has.

use std::time::Duration;

use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_binds::testing::{Sandbox, SandboxError};
use diesel_binds::{
    AsyncSqliteConnection, BindOptions, Binds, BindsBuilder, Error, PoolOptions, RecoveryOptions,
    SessionOptions, Source,
};
use kit::side::{Side, Sqlite};

use crate::suite::sandbox::Outside;

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(600);

/// Each limit of the application holds: that of `Source::pool_options`, of its own pools, and of the builder.
#[tokio::test]
async fn a_session_waits_no_longer_than_for_the_pool() {
    let database = Sqlite::database().await;
    let url = database.url();
    let manager = || AsyncDieselConnectionManager::<AsyncSqliteConnection>::new(url);
    let deadpool = |wait| {
        let pool = Pool::builder(manager()).runtime(deadpool::Runtime::Tokio1);
        pool.wait_timeout(wait).build().unwrap()
    };
    let bb8 = bb8::Pool::builder()
        .connection_timeout(SHORT)
        .build_unchecked(manager());
    let builder = |limit| {
        Binds::builder()
            .recovery(RecoveryOptions::new().without_worker())
            .checkout_timeout(limit)
    };
    let pooling = |limit| PoolOptions::new().checkout_timeout(limit);
    let options = BindOptions::new();
    let limited: [BindsBuilder; 6] = [
        builder(LONG).bind(
            Sqlite,
            Source::url(url)
                .pool_options(pooling(SHORT))
                .options(options.clone()),
        ),
        builder(SHORT).bind(
            Sqlite,
            Source::url(url)
                .pool_options(pooling(LONG))
                .options(options),
        ),
        builder(LONG).bind(Sqlite, deadpool(Some(SHORT))),
        builder(SHORT).bind(Sqlite, deadpool(Some(LONG))),
        builder(SHORT).bind(Sqlite, deadpool(None)),
        builder(LONG).bind(Sqlite, bb8),
    ];
    for (case, builder) in limited.into_iter().enumerate() {
        let binds = builder.build().unwrap();
        let sandbox = Sandbox::of(&binds).bind(Sqlite).start().await.unwrap();
        let first = sandbox.binds().session();
        Sqlite::write(&first, "first").await.unwrap();
        let second = sandbox.binds().session();
        let late = tokio::time::timeout(Duration::from_secs(60), Sqlite::read(&second)).await;
        assert!(
            matches!(
                late,
                Ok(Err(Error::Sandbox(SandboxError::OneConnection {
                    waited: SHORT,
                    ..
                })))
            ),
            "{case}: {late:?}"
        );
        drop(first);
        sandbox.end().await.unwrap();
    }
}

#[tokio::test]
async fn a_wait_until_the_deadline_reports_that_a_sandbox_has_one_connection() {
    let outside = Outside::<Sqlite>::new().await;
    let sandbox = outside.sandbox().await;
    let first = sandbox.binds().session();
    Sqlite::write(&first, "first").await.unwrap();
    let options = SessionOptions::new().deadline(SHORT);
    let second = sandbox.binds().with(options).session();
    let late = Sqlite::read(&second).await.unwrap_err();
    assert!(
        matches!(late, Error::Sandbox(SandboxError::OneConnection { .. })),
        "{late:?}"
    );
    assert!(
        late.to_string().contains("has one connection in a sandbox"),
        "{late}"
    );
    drop((first, second));
    sandbox.end().await.unwrap();
}

/// Without this refusal, each query would fail without the reason.
#[tokio::test]
async fn a_sandbox_without_binds_does_not_start() {
    let outside = Outside::<Sqlite>::new().await;
    let refused = Sandbox::of(&outside.binds).start().await;
    assert!(matches!(refused, Err(SandboxError::NoBinds)), "{refused:?}");
}
