//! The thread of one SQLite connection.
//!
//! Diesel-async runs SQLite through `spawn_blocking` of tokio. When the future of a statement is dropped, it blocks
//! until the statement is done, which panics on a current-thread runtime. Here each connection has a thread of its own,
//! which runs its statements in the order of their calls. A dropped future only discards the result.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

use diesel_async::sync_connection_wrapper::SpawnBlocking;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// The runtime of one SQLite connection, which runs its statements in order on a thread of its own.
///
/// Serves as the runtime parameter of [`AsyncSqliteConnection`](crate::AsyncSqliteConnection). The thread ends when the
/// connection is dropped and its last statement is done.
pub struct ConnectionThread {
    jobs: mpsc::Sender<Job>,
}

/// The statement panicked, or the operating system gave the connection no thread.
#[derive(Debug, thiserror::Error)]
#[error("the statement panicked, or the connection has no thread")]
struct ThreadGone;

impl SpawnBlocking for ConnectionThread {
    fn spawn_blocking<'a, R>(
        &mut self,
        task: impl FnOnce() -> R + Send + 'static,
    ) -> BoxFuture<'a, Result<R, Box<dyn Error + Send + Sync + 'static>>>
    where
        R: Send + 'static,
    {
        let (reply, result) = oneshot::channel();
        let span = tracing::Span::current();
        // If the thread is gone, the job is dropped, and with it `reply`: the future below then returns an error.
        let _ = self.jobs.send(Box::new(move || {
            let done = span.in_scope(task);
            drop(span);
            let _ = reply.send(done);
        }));
        async move { result.await.map_err(|_| ThreadGone.into()) }.boxed()
    }

    fn get_runtime() -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        let spawned = std::thread::Builder::new()
            .name("diesel-binds-sqlite".into())
            .spawn(move || {
                for job in queue {
                    // A function of the application may panic in a statement. The waiting future then gets an error,
                    // because `reply` is dropped. The next statement finds the connection as it was.
                    let _ = catch_unwind(AssertUnwindSafe(job));
                }
            });
        if let Err(error) = spawned {
            tracing::error!(%error, "no thread for a SQLite connection");
        }
        Self { jobs }
    }
}

impl std::fmt::Debug for ConnectionThread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionThread").finish_non_exhaustive()
    }
}
