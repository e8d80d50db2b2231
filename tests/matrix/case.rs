//! The faults of a case.

use std::fmt;
use std::str::FromStr;

use diesel_binds::recovery::Outcome;
use diesel_binds::testing::{Effect, FaultPlan, Moment, Point, Step};

use crate::class::Class;
use crate::elsewhere::Other;
use crate::network::{Damage, Message};
use crate::topology::Topology;

/// A unit and its faults.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) topology: Topology,
    pub(crate) shape: Shape,
    /// An earlier fault, so that the commit reaches the point at all.
    pub(crate) first: Option<Trouble>,
    pub(crate) fault: Fault,
}

/// The statements of the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Writes everywhere.
    Write,
    /// Reads on the first bind, and writes on the others.
    Read,
}

/// A step that fails, so that the commit takes another path.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    /// True if the server refuses; otherwise the connection is lost.
    pub(crate) refused: bool,
    pub(crate) point: Point,
}

/// The injected fault.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The process that commits is killed.
    Coordinator(Point),
    /// The process of a server is killed, and started again while the commit goes on.
    Server { server: usize, point: Point },
    /// A message to a server is damaged on its way.
    Network {
        server: usize,
        message: Message,
        damage: Damage,
    },
    /// The commit pauses while another process recovers once.
    Recovered(Point),
    /// The commit pauses for a while. From then on, another process recovers all the time.
    Slow(Point),
    /// A message or its reply is late. From the point before it, another process recovers all the time.
    Late {
        point: Point,
        server: usize,
        message: Message,
        reply: bool,
    },
    /// An operator cancels all statements on a server for a while, from the arrival of a message.
    Cancelled { server: usize, message: Message },
    /// From the point on, an operator repeatedly cancels all statements on a server for a while.
    CancelledOften { server: usize, point: Point },
    /// An operator ends the sessions on a server.
    SessionsKilled { server: usize, point: Point },
    /// From the point on, the address of a server leads to another one.
    Elsewhere {
        server: usize,
        point: Point,
        other: Other,
        /// True if open connections are cut.
        cut: bool,
    },
    /// From the point on, the commits of a server wait for a standby that is away.
    Away {
        server: usize,
        point: Point,
        /// True if sessions that wait for the standby are ended, which makes their commits visible.
        ended: bool,
    },
    /// The commit pauses. Another process, whose horizon lies beyond the unit, recovers, and an operator forces the
    /// unit.
    Forced {
        point: Point,
        outcome: Outcome,
        /// True if the unit reads on a snapshot, in which a later horizon is not visible.
        snapshot: bool,
    },
}

impl Case {
    pub(crate) fn class(&self) -> Class {
        match &self.fault {
            Fault::Coordinator(_) => Class::Coordinator,
            Fault::Server { .. } => Class::Server,
            Fault::Network { damage, .. } => damage.class(),
            Fault::Recovered(_) | Fault::Slow(_) | Fault::Late { .. } => Class::Race,
            Fault::Cancelled { .. } | Fault::CancelledOften { .. } => Class::Cancelled,
            Fault::SessionsKilled { .. } => Class::SessionsKilled,
            Fault::Elsewhere { .. } => Class::Elsewhere,
            Fault::Away { .. } => Class::Away,
            Fault::Forced { .. } => Class::Forced,
        }
    }

    /// Returns whether the unit writes on a bind.
    pub(crate) fn writes(&self, index: usize) -> bool {
        self.shape == Shape::Write || index > 0
    }

    /// Returns the point at which the decision is lost on its way, if the fault is at a later question about it. A
    /// decision that was certainly not sent needs no question.
    pub(crate) fn loses_decision(&self, message: Message) -> Option<&Point> {
        let point = &self.first.as_ref()?.point;
        let is_before = (point.step, point.moment) == (Step::Decide, Moment::Before);
        (is_before && matches!(message, Message::Look | Message::Fence)).then_some(point)
    }

    /// Returns the plan of the case, with this effect at the point of the fault.
    pub(crate) fn plan(&self, effect: Effect) -> FaultPlan {
        let plan = Trouble::plan(self.first.as_ref());
        match &self.fault {
            Fault::Coordinator(point)
            | Fault::Server { point, .. }
            | Fault::Recovered(point)
            | Fault::Slow(point)
            | Fault::Late { point, .. }
            | Fault::CancelledOften { point, .. }
            | Fault::SessionsKilled { point, .. }
            | Fault::Elsewhere { point, .. }
            | Fault::Away { point, .. }
            | Fault::Forced { point, .. } => plan.at_point(point.clone(), effect),
            Fault::Network { .. } | Fault::Cancelled { .. } => plan,
        }
    }
}

impl Trouble {
    pub(crate) fn plan(first: Option<&Self>) -> FaultPlan {
        let plan = FaultPlan::new();
        match first {
            None => plan,
            Some(Self { refused, point }) => {
                let effect = if *refused {
                    Effect::Refuse
                } else {
                    Effect::Disconnect
                };
                plan.at_point(point.clone(), effect)
            }
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            topology, shape, ..
        } = self;
        write!(f, "{topology}, {shape}: ")?;
        if let Some(first) = &self.first {
            write!(f, "{first}, then ")?;
        }
        self.fault.fmt(f)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator(point) => write!(f, "process killed at {point}"),
            Self::Server { server, point } => write!(f, "server {server} killed at {point}"),
            Self::Network {
                server,
                message,
                damage,
            } => write!(f, "{damage} {message} of {server}"),
            Self::Recovered(point) => write!(f, "recovered at {point}"),
            Self::Slow(point) => write!(f, "slow at {point}, recovered meanwhile"),
            Self::Late {
                server,
                message,
                reply,
                ..
            } => {
                let what = if *reply { "late reply to" } else { "late" };
                write!(f, "{what} {message} of {server}, recovered meanwhile")
            }
            Self::Cancelled { server, message } => write!(f, "{message} of {server} cancelled"),
            Self::CancelledOften { server, point } => {
                write!(f, "all on server {server} cancelled from {point}")
            }
            Self::SessionsKilled { server, point } => {
                write!(f, "sessions of server {server} killed at {point}")
            }
            Self::Elsewhere {
                server,
                point,
                other,
                cut,
            } => {
                let how = if *cut { " and cut" } else { "" };
                write!(f, "server {server} led to {other}{how} from {point}")
            }
            Self::Away {
                server,
                point,
                ended,
            } => {
                let how = if *ended { ", waits ended" } else { "" };
                write!(f, "standby of server {server} away from {point}{how}")
            }
            Self::Forced {
                point,
                outcome,
                snapshot,
            } => {
                let how = if *snapshot { ", on a snapshot" } else { "" };
                write!(
                    f,
                    "forced to {outcome:?} at {point}, behind the horizon{how}"
                )
            }
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Write => "write",
            Self::Read => "read",
        })
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "write" => Ok(Self::Write),
            "read" => Ok(Self::Read),
            _ => Err(format!("`{text}` is no shape")),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = if self.refused { "refuse" } else { "disconnect" };
        write!(f, "{effect} at {}", self.point)
    }
}

impl FromStr for Trouble {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (effect, point) = text.split_once(" at ").ok_or("there is no point")?;
        Ok(Self {
            refused: effect == "refuse",
            point: point.parse().map_err(|error| format!("{error}"))?,
        })
    }
}
