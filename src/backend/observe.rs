//! Puts the spans of statements on a connection, unless it has an instrumentation of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use diesel_async::AsyncConnection;

use crate::backend::internals;
#[cfg(feature = "testing")]
use crate::trace::QueryLog;
use crate::trace::{StatementSpans, Transaction, Watch};

/// Makes spans of the statements of a connection until `transaction` is dropped, if they are observed.
///
/// The instrumentation stays on the connection, because Diesel cannot remove one. Outside of transactions it does
/// nothing.
pub(crate) fn observe<C: AsyncConnection>(connection: &mut C, transaction: &mut Transaction) {
    if !transaction.is_observed() {
        return;
    }
    if internals::is_placeholder(connection.instrumentation()) {
        connection.set_instrumentation(StatementSpans::default());
    }
    // Diesel cannot take an instrumentation out of its connection, so one of the application cannot be moved into ours.
    if let Some(spans) = connection.instrumentation().downcast_ref() {
        transaction.attach_to(spans);
    }
}

/// Returns the counter of statements that may end the transaction of a connection. `None` if the application has an
/// instrumentation of its own, or has leaked the future of a statement.
pub(crate) fn watch<C: AsyncConnection>(connection: &mut C) -> Option<Arc<Watch>> {
    // diesel-async panics here if the future of a statement still lives, and has no way to ask. Such a future can only
    // be one that the application leaked, as no other outlives its borrow of the connection.
    let watching = AssertUnwindSafe(|| {
        if internals::is_placeholder(connection.instrumentation()) {
            connection.set_instrumentation(StatementSpans::default());
        }
        let spans: Option<&StatementSpans> = connection.instrumentation().downcast_ref();
        spans.map(StatementSpans::watch)
    });
    catch_unwind(watching).unwrap_or(None)
}

/// Logs the statements of a connection. Returns whether it can: an instrumentation of the application stays, unless it
/// is within ours.
#[cfg(feature = "testing")]
pub(crate) fn log<C: AsyncConnection>(connection: &mut C, log: &Arc<QueryLog>) -> bool {
    if internals::is_placeholder(connection.instrumentation()) {
        connection.set_instrumentation(StatementSpans::default());
    }
    match connection
        .instrumentation()
        .downcast_mut::<StatementSpans>()
    {
        Some(spans) => {
            spans.log(log);
            true
        }
        None => false,
    }
}
