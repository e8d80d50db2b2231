//! Units without an end: dropped anywhere, by a panic, by a runtime that goes away.

use std::panic::resume_unwind;
use std::thread;

use diesel_binds::{Error, Session};
use kit::side::PoolKind;
use kit::step::Step;
use kit::world::Sides;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::suite::cancel::{Bench, binds};
use crate::suite::polls::DropPoint;

pub(crate) async fn a_session_may_be_dropped_outside_of_any_runtime<S: Sides>(pool: PoolKind) {
    let mut bench = Bench::<S>::new(pool).await;
    for polls in 0..4 {
        let (text, dropped) = (bench.text(), bench.text());
        let mut session = bench.session();
        S::write(&session, &text).await.unwrap();
        let last = S::keys().len() - 1;
        let _ = DropPoint::Asked(polls)
            .cut(S::step(last, Step::Insert, &mut session, "", &dropped))
            .await;
        let (sender, dropped_there) = oneshot::channel();
        thread::spawn(move || {
            assert!(tokio::runtime::Handle::try_current().is_err());
            drop(session);
            sender.send(()).unwrap();
        });
        dropped_there.await.unwrap();
        bench.assert_clean().await;
        assert!(!bench.is_everywhere(&text).await);
    }
    bench.world.binds.close().await;
}

pub(crate) async fn a_panic_rolls_back<S: Sides>(pool: PoolKind) {
    let mut bench = Bench::<S>::new(pool).await;
    for closure in [false, true] {
        let text = bench.text();
        let (binds, written) = (bench.world.binds.clone(), text.clone());
        let panicked = tokio::spawn(async move {
            if closure {
                let done: Result<(), Error> = binds
                    .transaction(async |session| {
                        S::write(session, &written).await?;
                        // Like `panic!`, without its message.
                        resume_unwind(Box::new("of the application"))
                    })
                    .await;
                done.unwrap();
            } else {
                let session = binds.session();
                S::write(&session, &written).await.unwrap();
                resume_unwind(Box::new("of the application"));
            }
        })
        .await;
        assert!(panicked.unwrap_err().is_panic());
        bench.assert_clean().await;
        assert!(!bench.is_everywhere(&text).await);
    }
    bench.world.binds.close().await;
}

pub(crate) async fn an_early_return_rolls_back<S: Sides>(pool: PoolKind) {
    let mut bench = Bench::<S>::new(pool).await;
    let text = bench.text();
    let returned: Result<(), Error> = async {
        let mut session = bench.session();
        S::write(&session, &text).await?;
        // The row exists already.
        S::write(&session, &text).await?;
        session.commit_all().await?;
        Ok(())
    }
    .await;
    assert!(matches!(returned, Err(Error::Query { .. })));
    bench.assert_clean().await;
    assert!(!bench.is_everywhere(&text).await);
    bench.world.binds.close().await;
}

pub(crate) async fn a_session_may_outlive_its_runtime<S: Sides>(pool: PoolKind) {
    let mut bench = Bench::<S>::new(pool).await;
    for threads in Threads::ALL {
        let text = bench.text();
        let (urls, namespace, written) = (bench.urls(), bench.namespace.clone(), text.clone());
        off_runtime(move || {
            let runtime = threads.runtime();
            let (session, binds) = runtime.block_on(async {
                let binds = binds::<S>(&namespace, &urls, pool).await;
                let session = binds.session();
                S::write(&session, &written).await.unwrap();
                (session, binds)
            });
            runtime.shutdown_background();
            drop(session);
            drop(binds);
        })
        .await;
        bench.assert_clean().await;
        assert!(!bench.is_everywhere(&text).await);
    }
    bench.world.binds.close().await;
}

pub(crate) async fn a_runtime_may_end_with_units_open_in_its_tasks<S: Sides>(pool: PoolKind) {
    let mut bench = Bench::<S>::new(pool).await;
    for threads in Threads::ALL {
        let text = bench.text();
        let (urls, namespace, written) = (bench.urls(), bench.namespace.clone(), text.clone());
        off_runtime(move || {
            let runtime = threads.runtime();
            let binds = runtime.block_on(async {
                let binds = binds::<S>(&namespace, &urls, pool).await;
                let session = binds.session();
                S::write(&session, &written).await.unwrap();
                tokio::spawn(keep(session));
                tokio::task::yield_now().await;
                binds
            });
            runtime.shutdown_background();
            drop(binds);
        })
        .await;
        bench.assert_clean().await;
        assert!(!bench.is_everywhere(&text).await);
    }
    bench.world.binds.close().await;
}

async fn keep(_session: Session) {
    std::future::pending::<()>().await;
}

/// On SQLite, the statement goes on in a thread of its own, and holds its locks until it is done.
pub(crate) async fn a_runtime_may_end_in_the_middle_of_a_statement<S: Sides>(pool: PoolKind) {
    let mut bench = Bench::<S>::new(pool).await;
    for threads in Threads::ALL {
        let text = bench.text();
        let (urls, namespace, written) = (bench.urls(), bench.namespace.clone(), text.clone());
        off_runtime(move || {
            let runtime = threads.runtime();
            let binds = runtime.block_on(async {
                let binds = binds::<S>(&namespace, &urls, pool).await;
                let session = binds.session();
                S::write(&session, &written).await.unwrap();
                let (sender, sent) = oneshot::channel();
                tokio::spawn(async move {
                    let last = S::keys().len() - 1;
                    let mut slow = Box::pin(S::slow(last, &session));
                    assert!(DropPoint::Asked(1).cut(slow.as_mut()).await.is_none());
                    sender.send(()).unwrap();
                    slow.await
                });
                sent.await.unwrap();
                binds
            });
            runtime.shutdown_background();
            drop(binds);
        })
        .await;
        bench.assert_clean().await;
        assert!(!bench.is_everywhere(&text).await);
    }
    bench.world.binds.close().await;
}

/// The kinds of runtimes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Threads {
    One,
    Many,
}

impl Threads {
    pub(crate) const ALL: [Self; 2] = [Self::One, Self::Many];

    pub(crate) fn runtime(self) -> Runtime {
        match self {
            Self::One => Builder::new_current_thread(),
            Self::Many => Builder::new_multi_thread(),
        }
        .enable_all()
        .build()
        .unwrap()
    }
}

/// Runs a function on a thread that has no runtime, and passes on its panic.
pub(crate) async fn off_runtime<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, done) = oneshot::channel();
    let thread = thread::spawn(move || {
        let result = run();
        let _ = sender.send(result);
    });
    match done.await {
        Ok(result) => result,
        Err(_) => resume_unwind(thread.join().unwrap_err()),
    }
}
