//! What goes wrong, and at which message.

use std::time::Duration;

/// A fault at one message from a client to the server.
///
/// ```ignore
/// proxy.inject(Fault::after("COMMIT PREPARED"));           // the server commits, its reply is lost
/// proxy.inject(Fault::before("INSERT").occurrence(2));     // the second insert never reaches the server
/// proxy.inject(Fault::before_message(7).stalling());       // the network hangs at the seventh message
/// proxy.inject(Fault::after("INSERT").half_closing(Half::ToClient)); // the server lives on, and is not heard any more
/// ```
#[derive(Clone, Debug)]
pub struct Fault {
    trigger: Trigger,
    occurrence: usize,
    pub(super) moment: Moment,
    pub(super) effect: Effect,
}

#[derive(Clone, Debug)]
pub(super) enum Trigger {
    /// Any message.
    Any,
    /// The execution of a statement with these bytes in its text or in its values.
    Execution(Vec<u8>),
}

/// When the fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// The server never sees the message.
    Before,
    /// The server acts on the message; its reply is lost.
    After,
}

/// What happens to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Cut,
    Stall,
    Delay(Duration),
    HalfClose(Half),
    /// Rolls the transaction back within the message, behind so many of its statements.
    RollBackBehind(usize),
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The server reads the end of the requests. What it still replies arrives.
    ToServer,
    /// The client reads the end of the replies. What it still sends is swallowed; the server learns that it is gone when
    /// it closes its side as well.
    ToClient,
}

impl Fault {
    /// The connection is lost before a statement that contains `bytes` is forwarded.
    pub fn before(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(Trigger::Execution(bytes.into()), 1, Moment::Before)
    }

    /// The connection is lost after a statement that contains `bytes` was forwarded. The client sees the loss when the
    /// server has acted and ended the session.
    pub fn after(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(Trigger::Execution(bytes.into()), 1, Moment::After)
    }

    /// The connection is lost before the `number`th message from now on is forwarded, whatever it is.
    pub fn before_message(number: usize) -> Self {
        Self::new(Trigger::Any, number, Moment::Before)
    }

    /// The connection is lost after the `number`th message from now on was forwarded, whatever it is.
    pub fn after_message(number: usize) -> Self {
        Self::new(Trigger::Any, number, Moment::After)
    }

    /// Fires at the `number`th match in place of the first.
    #[must_use]
    pub fn occurrence(mut self, number: usize) -> Self {
        self.occurrence = number;
        self
    }

    /// Leaves the connection open and forwards nothing on it any more, in place of cutting it.
    #[must_use]
    pub fn stalling(mut self) -> Self {
        self.effect = Effect::Stall;
        self
    }

    /// Loses nothing: the message (or the reply to it) and all that follows it on the connection arrive this much later.
    #[must_use]
    pub fn delaying(mut self, time: Duration) -> Self {
        self.effect = Effect::Delay(time);
        self
    }

    /// Loses nothing: the server rolls the transaction back within the message, behind its first `count` statements. It does
    /// not fire where less than two follow: for the last, the server itself answers.
    #[must_use]
    pub fn rolling_back_behind(mut self, count: usize) -> Self {
        self.effect = Effect::RollBackBehind(count);
        self
    }

    /// Closes one direction of the connection, in place of cutting both.
    #[must_use]
    pub fn half_closing(mut self, half: Half) -> Self {
        self.effect = Effect::HalfClose(half);
        self
    }

    fn new(trigger: Trigger, occurrence: usize, moment: Moment) -> Self {
        Self {
            trigger,
            occurrence,
            moment,
            effect: Effect::Cut,
        }
    }
}

/// A fault that waits for its message.
pub(super) struct Armed {
    pub(super) fault: Fault,
    seen: usize,
}

impl Armed {
    pub(super) fn new(fault: Fault) -> Self {
        Self { fault, seen: 0 }
    }

    pub(super) fn trigger(&self) -> &Trigger {
        &self.fault.trigger
    }

    /// Counts a match; returns whether it is the one to fire at.
    pub(super) fn count(&mut self) -> bool {
        self.seen += 1;
        self.seen == self.fault.occurrence
    }
}
