//! The texts of the statements that an application runs on one connection, for its tests.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// The texts of the statements that an application runs on one connection, in order.
#[derive(Debug, Default)]
pub(crate) struct QueryLog {
    /// The statements that run now are the application's, and not the library's.
    is_active: AtomicBool,
    texts: Mutex<Vec<String>>,
}

impl QueryLog {
    /// Sets whether the statements from now on are the application's.
    pub(crate) fn set_active(&self, is_active: bool) {
        self.is_active.store(is_active, Ordering::SeqCst);
    }

    pub(super) fn is_active(&self) -> bool {
        self.is_active.load(Ordering::SeqCst)
    }

    pub(super) fn note(&self, text: String) {
        self.texts.lock().push(text);
    }

    /// Returns the texts so far.
    pub(crate) fn read(&self) -> Vec<String> {
        self.texts.lock().clone()
    }

    /// Deletes the texts so far.
    pub(crate) fn clear(&self) {
        self.texts.lock().clear();
    }
}
