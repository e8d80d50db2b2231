//! Whether what is sent next reaches the server, as far as that is known before it is sent.

use std::time::Duration;

use crate::backend::Connection;
use crate::session::lease::{Condition, Lease};

/// For how long a server that is not heard of is believed to be there. The commits of a unit that is quick pay nothing.
const QUIET: Duration = Duration::from_millis(250);

impl<C: Connection> Lease<C> {
    /// Nothing was sent. The transaction is open as before.
    pub(in crate::session) fn still_open(&mut self) {
        self.condition = Condition::Open;
    }

    /// A stream was dropped between two rows: nothing is in flight but its rest, which is skipped.
    pub(in crate::session) fn skips_rows(&mut self) {
        self.condition = Condition::Open;
        self.rows_left = true;
    }

    /// Whether it is worth a round trip to ask the server for an answer before a step that must not be lost: after a
    /// statement that failed, behind the rest of a stream, and after a while where the driver hears of nothing by itself.
    pub(in crate::session) fn is_unsure(&self) -> bool {
        self.failed || self.rows_left || (!C::HEARS && self.heard.elapsed() > QUIET)
    }

    /// The connection is closed, and no statement of it is there to be cancelled.
    pub(in crate::session) fn gone_dead(&mut self) {
        self.condition = Condition::Ending;
    }
}
