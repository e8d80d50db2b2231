//! The faults of the network, and the messages at which they happen.

use std::time::Duration;

/// A fault at one message from a client to the server.
///
/// ```ignore
/// proxy.inject(Fault::after("COMMIT PREPARED"));           // the server commits, its reply is lost
/// proxy.inject(Fault::before("INSERT").occurrence(2));     // the second insert never reaches the server
/// proxy.inject(Fault::before_message(7).stalling());       // the network hangs at the seventh message
/// proxy.inject(Fault::after("INSERT").half_closing(Half::ToClient)); // the server runs on, and its replies are lost
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
    /// The execution of a statement that contains these bytes in its text or its values.
    Execution(Vec<u8>),
}

/// The moment of the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before the message: the server never receives it.
    Before,
    /// After the message: the server acts on it, and its reply is lost.
    After,
}

/// The effect on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Cut,
    Stall,
    Delay(Duration),
    HalfClose(Half),
    /// Rolls the transaction back within the message, after this many of its statements.
    RollBackBehind(usize),
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The direction to the server, which reads the end of the requests. Its later replies still arrive.
    ToServer,
    /// The direction to the client, which reads the end of the replies. Its later requests are discarded. The server
    /// sees the end only when the client closes its side as well.
    ToClient,
}

impl Fault {
    /// Loses the connection before a statement that contains `bytes` is forwarded.
    pub fn before(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(Trigger::Execution(bytes.into()), 1, Moment::Before)
    }

    /// Loses the connection after a statement that contains `bytes` was forwarded. The client sees the loss when the
    /// server has acted and ended the session.
    pub fn after(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(Trigger::Execution(bytes.into()), 1, Moment::After)
    }

    /// Loses the connection before the `number`th message from now on is forwarded, whatever that message is.
    pub fn before_message(number: usize) -> Self {
        Self::new(Trigger::Any, number, Moment::Before)
    }

    /// Loses the connection after the `number`th message from now on was forwarded, whatever that message is.
    pub fn after_message(number: usize) -> Self {
        Self::new(Trigger::Any, number, Moment::After)
    }

    /// Fires at the `number`th match in place of the first.
    #[must_use]
    pub fn occurrence(mut self, number: usize) -> Self {
        self.occurrence = number;
        self
    }

    /// Keeps the connection open, but forwards nothing more on it, in place of cutting it.
    #[must_use]
    pub fn stalling(mut self) -> Self {
        self.effect = Effect::Stall;
        self
    }

    /// Loses nothing: the message or its reply, and everything after it on the connection, arrives this much later.
    #[must_use]
    pub fn delaying(mut self, time: Duration) -> Self {
        self.effect = Effect::Delay(time);
        self
    }

    /// Loses nothing: the server rolls the transaction back within the message, after its first `count` statements. The
    /// fault does not fire if fewer than two statements follow: the last one checks the transaction itself.
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

/// A fault that has not fired yet.
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

    /// Counts a match, and returns whether the fault fires at it.
    pub(super) fn count(&mut self) -> bool {
        self.seen += 1;
        self.seen == self.fault.occurrence
    }
}
