//! The damage to a message on its way to a server.

use std::fmt;
use std::time::Duration;

use kit::proxy::{Fault, Half};

use crate::class::Class;

/// A message of a commit, found by bytes in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Identify,
    Prepare,
    Decide,
    Apply,
    /// The commit of the only writer, or the end of a reader.
    Commit,
    /// The question for the outcome.
    Look,
    /// The fence, which excludes a late decision.
    Fence,
}

impl Message {
    /// Returns bytes that identify the message.
    pub(crate) fn bytes(self, mysql: bool) -> &'static str {
        match (self, mysql) {
            (Self::Identify, _) => "AS forgotten, holder_id, version",
            (Self::Prepare, false) => "PREPARE TRANSACTION",
            (Self::Prepare, true) => "XA PREPARE",
            // Other messages name the table as well.
            (Self::Decide, _) => "'commit'",
            (Self::Apply, false) => "COMMIT PREPARED",
            (Self::Apply | Self::Commit, true) => "XA COMMIT",
            (Self::Commit, false) => "COMMIT",
            (Self::Look, _) => "SELECT outcome",
            (Self::Fence, _) => "'abort'",
        }
    }
}

/// The damage to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) how: How,
    /// True if the server acts on the message, and its reply is damaged.
    pub(crate) reply: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The connection is cut at the message.
    Cut,
    /// The message never arrives, and the connection stays open.
    Hang,
    HalfClose(Half),
    Delay,
}

impl Damage {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let how = [
            How::Cut,
            How::Hang,
            How::HalfClose(Half::ToServer),
            How::HalfClose(Half::ToClient),
            How::Delay,
        ];
        how.into_iter()
            .flat_map(|how| [false, true].map(|reply| Self { how, reply }))
    }

    pub(crate) fn class(self) -> Class {
        match self.how {
            How::Cut => Class::Lost,
            How::Hang => Class::Hangs,
            How::HalfClose(_) => Class::HalfClosed,
            How::Delay => Class::Delayed,
        }
    }

    /// Returns the fault of a proxy; `late` is the time of a delay.
    pub(crate) fn fault(self, message: Message, mysql: bool, late: Duration) -> Fault {
        let bytes = message.bytes(mysql);
        let fault = if self.reply {
            Fault::after(bytes)
        } else {
            Fault::before(bytes)
        };
        match self.how {
            How::Cut => fault,
            How::Hang => fault.stalling(),
            How::HalfClose(half) => fault.half_closing(half),
            How::Delay => fault.delaying(late),
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identify => "identify",
            Self::Prepare => "prepare",
            Self::Decide => "decide",
            Self::Apply => "apply",
            Self::Commit => "commit",
            Self::Look => "look",
            Self::Fence => "fence",
        })
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.how {
            How::Cut => "cut",
            How::Hang => "hang",
            How::HalfClose(Half::ToServer) => "end to the server",
            How::HalfClose(Half::ToClient) => "end to the client",
            How::Delay => "delay",
        };
        let when = if self.reply { "after" } else { "before" };
        write!(f, "{how} {when}")
    }
}
