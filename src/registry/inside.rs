//! The context of a running hook, in which some calls would wait for themselves.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::registry::{Entry, Registry};

tokio::task_local! {
    /// The innermost context that this task runs in.
    static INSIDE: Arc<Inside>;
}

/// A context that ends only after a hook.
struct Inside {
    what: What,
    /// The enclosing context, which waits for this one.
    outer: Option<Arc<Inside>>,
}

enum What {
    /// A task in the background of a registry, identified by its tracker.
    Background(TaskTracker),
    /// The begin of a transaction, identified by the address of its entry.
    Begin(usize),
}

impl Registry {
    /// Starts the end of a unit in the background, with its hooks.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        ending: impl Future<Output = T> + Send + 'static,
        handle: &Handle,
    ) -> JoinHandle<T> {
        let ending = within(What::Background(self.background.clone()), ending);
        self.background.spawn_on(ending, handle)
    }

    /// Returns whether [`close`](crate::Binds::close) waits for this task.
    pub(super) fn is_in_background(&self) -> bool {
        is_within(
            |what| matches!(what, What::Background(tracker) if TaskTracker::ptr_eq(tracker, &self.background)),
        )
    }
}

impl<C> Entry<C> {
    /// Runs a hook at the begin of a transaction.
    pub(crate) async fn beginning<T>(&self, hook: impl Future<Output = T>) -> T {
        within(What::Begin(self.address()), hook).await
    }

    /// Returns whether this task runs a hook at the begin of a transaction here. The begin waits for that hook.
    pub(crate) fn is_beginning(&self) -> bool {
        let address = self.address();
        is_within(|what| matches!(what, What::Begin(entry) if *entry == address))
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

fn within<F: Future>(what: What, future: F) -> impl Future<Output = F::Output> {
    let outer = INSIDE.try_with(Arc::clone).ok();
    INSIDE.scope(Arc::new(Inside { what, outer }), future)
}

fn is_within(found: impl Fn(&What) -> bool) -> bool {
    let look = |innermost: &Arc<Inside>| {
        let mut inside = Some(innermost);
        while let Some(Inside { what, outer }) = inside.map(Arc::as_ref) {
            if found(what) {
                return true;
            }
            inside = outer.as_ref();
        }
        false
    };
    INSIDE.try_with(look).unwrap_or(false)
}
