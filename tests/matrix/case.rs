//! What goes wrong in a case.

use std::fmt;
use std::str::FromStr;

use diesel_binds::testing::{Effect, FaultPlan, Point};

use crate::network::{Damage, Message};
use crate::topology::Topology;

/// A unit, and what goes wrong in it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) topology: Topology,
    pub(crate) shape: Shape,
    /// What goes wrong before, so that the commit gets to the point at all.
    pub(crate) first: Option<Trouble>,
    pub(crate) fault: Fault,
}

/// What the unit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Writes everywhere.
    Write,
    /// Reads on the first bind, and writes on the others.
    Read,
}

/// A step that fails, so that the commit goes another way.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    /// The server refuses, or the connection is lost.
    pub(crate) refused: bool,
    pub(crate) point: Point,
}

/// What is injected.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The process that commits is killed.
    Coordinator(Point),
    /// The process of a server is killed, and started again while the commit goes on.
    Server { server: usize, point: Point },
    /// A message to a server suffers on its way.
    Network {
        server: usize,
        message: Message,
        damage: Damage,
    },
    /// The commit stands still while another process recovers once.
    Recovered(Point),
    /// The commit stands still for a while, and from then on another process recovers all the time.
    Slow(Point),
    /// A message or its reply is late, and from the point before it on another process recovers all the time.
    Late {
        point: Point,
        server: usize,
        message: Message,
        reply: bool,
    },
}

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Coordinator,
    Server,
    Lost,
    Hangs,
    HalfClosed,
    Delayed,
    Race,
}

impl Class {
    pub(crate) const ALL: [Self; 7] = [
        Self::Coordinator,
        Self::Server,
        Self::Lost,
        Self::Hangs,
        Self::HalfClosed,
        Self::Delayed,
        Self::Race,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Coordinator => "process killed",
            Self::Server => "server killed",
            Self::Lost => "lost",
            Self::Hangs => "hangs",
            Self::HalfClosed => "half-closed",
            Self::Delayed => "late",
            Self::Race => "race",
        }
    }
}

impl Case {
    pub(crate) fn class(&self) -> Class {
        match &self.fault {
            Fault::Coordinator(_) => Class::Coordinator,
            Fault::Server { .. } => Class::Server,
            Fault::Network { damage, .. } => damage.class(),
            Fault::Recovered(_) | Fault::Slow(_) | Fault::Late { .. } => Class::Race,
        }
    }

    /// The plan of what happens at points, given what happens at that of the fault.
    pub(crate) fn plan(&self, effect: Effect) -> FaultPlan {
        let plan = Trouble::plan(self.first.as_ref());
        match &self.fault {
            Fault::Coordinator(point)
            | Fault::Server { point, .. }
            | Fault::Recovered(point)
            | Fault::Slow(point)
            | Fault::Late { point, .. } => plan.at_point(point.clone(), effect),
            Fault::Network { .. } => plan,
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
        match &self.fault {
            Fault::Coordinator(point) => write!(f, "process killed at {point}"),
            Fault::Server { server, point } => write!(f, "server {server} killed at {point}"),
            Fault::Network {
                server,
                message,
                damage,
            } => write!(f, "{damage} {message} of {server}"),
            Fault::Recovered(point) => write!(f, "recovered at {point}"),
            Fault::Slow(point) => write!(f, "slow at {point}, recovered meanwhile"),
            Fault::Late {
                server,
                message,
                reply,
                ..
            } => {
                let what = if *reply { "late reply to" } else { "late" };
                write!(f, "{what} {message} of {server}, recovered meanwhile")
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
