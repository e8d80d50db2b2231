//! A process dies in the middle of a commit: its runtime goes away, with the task that commits.

use std::sync::mpsc;

use kit::proxy::{Fault, Proxy};
use kit::side::PoolKind;
use kit::world::Sides;
use tokio::sync::oneshot;

use crate::suite::cancel::leaving::{Threads, off_runtime};
use crate::suite::cancel::{Bench, binds};
use crate::suite::polls::DropPoint;

/// More messages than a commit sends on one connection.
const MESSAGES: usize = 60;

/// The network hangs at each message of the commit in turn, before or after the server has acted on it. Then the
/// process dies, and another process recovers its unit.
pub(crate) async fn a_commit_that_dies_at_any_message_is_kept_everywhere_or_nowhere<S: Sides>(
    pool: PoolKind,
) {
    let mut bench = Bench::<S>::new(pool).await;
    let mut outcomes = Vec::new();
    for threads in Threads::ALL {
        for index in 0..S::keys().len() {
            if bench.world.databases[index].name().is_none() {
                // A file has no network. Its commit is a step of its own in the faults of the others.
                continue;
            }
            for fault in [Fault::before_message, Fault::after_message] {
                for number in 1..MESSAGES {
                    let fault = fault(number).stalling();
                    match die(&mut bench, pool, threads, index, fault).await {
                        Some(kept) => outcomes.push(kept),
                        // The commit sends fewer messages.
                        None => break,
                    }
                }
            }
        }
    }
    assert!(
        outcomes.contains(&false),
        "no death came before the decision"
    );
    assert!(outcomes.contains(&true), "no death came after the decision");
    bench.assert_clean().await;
    bench.world.binds.close().await;
}

/// Lets a process die at a fault of its connection to one database. Returns whether its unit was kept, or `None` if the
/// fault did not fire.
async fn die<S: Sides>(
    bench: &mut Bench<S>,
    pool: PoolKind,
    threads: Threads,
    index: usize,
    fault: Fault,
) -> Option<bool> {
    let text = bench.text();
    let mut urls = bench.urls();
    let proxy = Proxy::start(&urls[index]).await;
    urls[index] = proxy.url(&urls[index]);
    let (namespace, written) = (bench.namespace.clone(), text.clone());
    let (armed, go) = mpsc::channel::<()>();
    let (ready, is_ready) = oneshot::channel::<()>();
    let (end, committed) = oneshot::channel::<()>();
    let (kill, killed) = oneshot::channel::<()>();
    let process = off_runtime(move || {
        let runtime = threads.runtime();
        let session = runtime.block_on(async {
            let binds = binds::<S>(&namespace, &urls, pool).await;
            // In the second unit, no database is asked for its id any more.
            let mut session = binds.session();
            S::echo(&session, 1).await.unwrap();
            session.rollback_all().await.unwrap();
            S::write(&session, &written).await.unwrap();
            ready.send(()).unwrap();
            go.recv().unwrap();
            tokio::select! {
                result = session.commit_all() => {
                    let committed = result.unwrap();
                    assert!(committed.committed().unwrap().pending().is_empty());
                    end.send(()).unwrap();
                }
                _ = killed => {}
            }
            session
        });
        runtime.shutdown_background();
        // The session is dropped after its runtime, so that nothing is cleaned up before the process dies.
        drop(session);
    });
    let script = async {
        is_ready.await.unwrap();
        proxy.inject(fault);
        armed.send(()).unwrap();
        tokio::select! {
            biased;
            _ = committed => false,
            () = proxy.wait_fired(1) => {
                kill.send(()).unwrap();
                true
            }
        }
    };
    let ((), fired) = tokio::join!(process, script);
    drop(proxy);
    bench.wait_for_nobody().await;
    bench.recover().await;
    bench.settle().await;
    let kept = bench.is_everywhere(&text).await;
    assert!(fired || kept, "a commit that was confirmed is gone");
    fired.then_some(kept)
}

/// The process dies at any internal moment: after a number of turns of the runtime with all its tasks.
pub(crate) async fn a_commit_that_dies_at_any_turn_is_kept_everywhere_or_nowhere<S: Sides>(
    pool: PoolKind,
) {
    let mut bench = Bench::<S>::new(pool).await;
    for turns in 0..60 {
        let text = bench.text();
        let (urls, namespace, written) = (bench.urls(), bench.namespace.clone(), text.clone());
        let confirmed = off_runtime(move || {
            let runtime = Threads::One.runtime();
            let confirmed = runtime.block_on(async {
                let binds = binds::<S>(&namespace, &urls, pool).await;
                let mut session = binds.session();
                S::write(&session, &written).await.unwrap();
                let mut committing = Box::pin(async move { session.commit_all().await });
                for _ in 0..turns {
                    if let Some(result) = DropPoint::Asked(1).cut(committing.as_mut()).await {
                        let _ = result.unwrap();
                        return true;
                    }
                    // Long enough for an occasional reply, so that processes die at all stages.
                    tokio::task::yield_now().await;
                    std::thread::yield_now();
                }
                let _ = DropPoint::Asked(1).cut(committing.as_mut()).await;
                false
            });
            runtime.shutdown_background();
            confirmed
        })
        .await;
        bench.wait_for_nobody().await;
        bench.recover().await;
        bench.settle().await;
        let kept = bench.is_everywhere(&text).await;
        assert!(kept || !confirmed, "a commit that was confirmed is gone");
    }
    bench.assert_clean().await;
    bench.world.binds.close().await;
}
