//! The classes of faults: the lines of the table.

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
    Cancelled,
    SessionsKilled,
    Elsewhere,
    Away,
    Forced,
}

impl Class {
    pub(crate) const ALL: [Self; 12] = [
        Self::Coordinator,
        Self::Server,
        Self::Lost,
        Self::Hangs,
        Self::HalfClosed,
        Self::Delayed,
        Self::Race,
        Self::Cancelled,
        Self::SessionsKilled,
        Self::Elsewhere,
        Self::Away,
        Self::Forced,
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
            Self::Cancelled => "cancelled",
            Self::SessionsKilled => "session killed",
            Self::Elsewhere => "elsewhere",
            Self::Away => "standby away",
            Self::Forced => "forced",
        }
    }
}
