//! The worker recovers by itself, and ends with its registry.

use std::time::Duration;

use diesel_binds::{BindOptions, Binds, RecoveryOptions, SessionOptions};
use kit::application::{Application, LONG, Left, Three};
use kit::proxy::Proxy;
use kit::side::{MariadbA, PoolKind, PostgresA, Side, Sqlite};
use kit::world::Sides;
use tokio::runtime::{Builder, Handle};
use tokio::time::{Instant, sleep};

/// Options of a worker that hardly pauses.
fn eager() -> RecoveryOptions {
    RecoveryOptions::new()
        .interval(Duration::from_millis(50))
        .jitter(Duration::from_millis(10))
}

/// Options of a worker that does nothing before the test is over.
fn lazy() -> RecoveryOptions {
    RecoveryOptions::new().jitter(Duration::from_secs(3600 * 24 * 365))
}

/// Waits until this number of tasks is alive on the runtime.
async fn until_tasks(count: usize) {
    let end = Instant::now() + LONG;
    while Handle::current().metrics().num_alive_tasks() != count {
        let tasks = Handle::current().metrics().num_alive_tasks();
        assert!(Instant::now() < end, "{tasks} tasks live, not {count}");
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_worker_finishes_what_a_dead_process_left() {
    let application = Application::new().await;
    let committed = application.leave(Left::Committed).await;
    let undecided = application.leave(Left::Undecided).await;
    let _process = application.process_with(eager()).await;
    application.wait_until_finished(&committed).await;
    application.wait_until_finished(&undecided).await;
    assert!(application.is_kept(&committed).await);
    assert!(!application.is_kept(&undecided).await);
}

#[tokio::test]
async fn a_worker_needs_no_connection_of_the_pools() {
    let application = Application::new().await;
    let gid = application.leave(Left::Committed).await;
    let mut builder = Binds::builder()
        .namespace(&application.namespace)
        .recovery(eager());
    for (side, url) in application.urls().iter().enumerate() {
        let (pool, options) = (PoolKind::Deadpool, BindOptions::new());
        builder = match side {
            0 => PostgresA::register(builder, url, pool, 1, options).await,
            1 => MariadbA::register(builder, url, pool, 1, options).await,
            _ => Sqlite::register(builder, url, pool, 1, options).await,
        };
    }
    let process = builder.build().unwrap();
    // This session holds the only connection of each pool.
    let greedy = process.with(SessionOptions::new().read_only()).session();
    Three::read(&greedy).await.unwrap();
    let hasty = SessionOptions::new().deadline(Duration::from_millis(50));
    let starved = Three::read(&process.with(hasty).session()).await;
    assert!(starved.is_err(), "{starved:?}");
    application.wait_until_finished(&gid).await;
    assert!(application.is_kept(&gid).await);
}

#[tokio::test]
async fn a_worker_starts_with_the_first_query_where_the_build_had_no_runtime() {
    let application = Application::new().await;
    let gid = application.leave(Left::Committed).await;
    let builder = application
        .register(Binds::builder().recovery(eager()))
        .await;
    let building = std::thread::spawn(move || builder.build().unwrap());
    let process = building.join().unwrap();
    until_tasks(0).await;
    Sqlite::read(&process.session()).await.unwrap();
    application.wait_until_finished(&gid).await;
    assert!(application.is_kept(&gid).await);
}

#[test]
fn a_worker_starts_again_where_its_runtime_is_gone() {
    let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let (application, process) = first.block_on(async {
        let application = Application::new().await;
        let process = application.process_with(lazy()).await;
        (application, process)
    });
    drop(first);
    runtime().block_on(async {
        until_tasks(0).await;
        let mut session = process.session();
        Sqlite::read(&session).await.unwrap();
        session.rollback_all().await.unwrap();
        drop(session);
        until_tasks(1).await;
        // The connections to the servers end in this runtime.
        drop((process, application));
        until_tasks(0).await;
    });
}

#[tokio::test]
async fn a_worker_ends_on_close() {
    let application = Application::new().await;
    until_tasks(0).await;
    let process = application.process_with(lazy()).await;
    until_tasks(1).await;
    process.close().await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
    assert!(Sqlite::read(&process.session()).await.is_err());
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test]
async fn a_worker_ends_with_the_last_handle() {
    let application = Application::new().await;
    until_tasks(0).await;
    let process = application.process_with(lazy()).await;
    let (other, session) = (process.clone(), process.session());
    drop(process);
    drop(other);
    until_tasks(1).await;
    drop(session);
    until_tasks(0).await;
}

/// A server that does not answer would hold up a pass for the whole time of a step.
#[tokio::test]
async fn a_worker_ends_in_the_middle_of_a_pass() {
    let application = Application::new().await;
    let mut urls = application.urls();
    let proxy = Proxy::start(&urls[0]).await;
    urls[0] = proxy.url(&urls[0]);
    let register = async || {
        let builder = Binds::builder()
            .namespace(&application.namespace)
            .step_timeout(LONG * 10)
            .recovery(eager());
        let options = BindOptions::new();
        Three::register(builder, &urls, PoolKind::Deadpool, &options).await
    };
    let before = Handle::current().metrics().num_alive_tasks();
    proxy.stall();

    let closed = register().await.build().unwrap();
    in_a_pass(before).await;
    closed.close().await;

    let dropped = register().await.build().unwrap();
    in_a_pass(before).await;
    drop(dropped);
    proxy.resume();
    until_tasks(before).await;
}

/// Waits until the worker and a connection that it opens are alive.
async fn in_a_pass(before: usize) {
    let end = Instant::now() + LONG;
    while Handle::current().metrics().num_alive_tasks() < before + 2 {
        assert!(Instant::now() < end, "no pass begins");
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn no_worker_runs_where_nothing_can_prepare_or_another_process_recovers() {
    let application = Application::new().await;
    until_tasks(0).await;
    let alone = PostgresA::register(
        Binds::builder(),
        application.postgres().url(),
        PoolKind::Deadpool,
        1,
        BindOptions::new(),
    );
    let _alone = alone.await.build().unwrap();
    let elsewhere = application.process().await;
    Sqlite::read(&elsewhere.session()).await.unwrap();
    until_tasks(0).await;
}
