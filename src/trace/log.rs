//! The texts of the statements that an application runs on one connection, for its tests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The texts of the statements that an application runs on one connection, in order.
#[derive(Debug, Default)]
pub(crate) struct QueryLog {
    /// What runs now is the application's, and not ours.
    listens: AtomicBool,
    texts: Mutex<Vec<String>>,
}

impl QueryLog {
    /// Says whether what runs from now on is the application's.
    pub(crate) fn listen(&self, listens: bool) {
        self.listens.store(listens, Ordering::SeqCst);
    }

    pub(super) fn listens(&self) -> bool {
        self.listens.load(Ordering::SeqCst)
    }

    pub(super) fn note(&self, text: String) {
        self.texts().push(text);
    }

    /// What ran.
    pub(crate) fn read(&self) -> Vec<String> {
        self.texts().clone()
    }

    /// Forgets what ran.
    pub(crate) fn clear(&self) {
        self.texts().clear();
    }

    fn texts(&self) -> MutexGuard<'_, Vec<String>> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
