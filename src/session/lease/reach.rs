//! Checks, before a message is sent, whether it can still reach the server.

use std::time::Duration;

use crate::backend::Connection;
use crate::session::lease::{Condition, Lease};

/// The time after a reply in which a server counts as reachable. The commit of a quick unit needs no extra round trip.
const QUIET: Duration = Duration::from_millis(250);

impl<C: Connection> Lease<C> {
    /// Records that nothing was sent and that the transaction is still open.
    pub(in crate::session) fn still_open(&mut self) {
        self.condition = Condition::Open;
    }

    /// Records that a stream was dropped between two rows: only its remaining rows are in flight, and they are skipped.
    pub(in crate::session) fn skips_rows(&mut self) {
        self.condition = Condition::Open;
        self.rows_left = true;
    }

    /// Reads the rest of a dropped stream. Its error is not that of the next statement, and the application has given the
    /// rows up.
    pub(super) async fn read_rest(&mut self) {
        if !self.rows_left {
            return;
        }
        let Some((connection, _)) = self.start() else {
            return;
        };
        let read = connection.drain().await;
        // The rows stay in flight on a backend that reads them with the next reply.
        self.still_open();
        if let Err(error) = read {
            tracing::debug!(bind = self.entry.key, %error, "the rest of a dropped stream failed");
            self.failed = true;
            self.unverified |= self.errors_may_end_it();
        }
    }

    /// Returns whether a round trip must test the connection before a step that must not be lost. This is so after a
    /// failed statement, and behind the rest of a stream. If the driver does not notice a closed connection by itself,
    /// it is also so after a quiet time.
    pub(in crate::session) fn is_unsure(&self) -> bool {
        self.failed || self.rows_left || (!C::NOTICES_CLOSE && self.last_reply.elapsed() > QUIET)
    }

    /// Records that the connection is closed and has no statement to cancel.
    pub(in crate::session) fn gone_dead(&mut self) {
        self.condition = Condition::Ending;
    }
}
