//! Conversions of an abort reason: from and to a fault, and into the error of a unit that can only be rolled back.

use crate::commit::Fault;
use crate::error::{AbortReason, Error};

impl AbortReason {
    pub(super) fn on(self, bind: &'static str) -> Error {
        Error::AbortOnly { bind, reason: self }
    }

    /// Returns the fault with which the commit of such a unit fails.
    pub(super) fn fault(self) -> Fault {
        match self {
            Self::DeadlineExceeded => Fault::DeadlineExceeded,
            Self::TransactionEnded => {
                Fault::TransactionEnded(diesel::result::Error::NotInTransaction)
            }
            Self::NestedTransaction => Fault::NestedTransaction,
            Self::Incomplete => Fault::Incomplete,
            Self::NotBegun => Fault::NotBegun,
            Self::NestedWorkFailed => Fault::NestedWorkFailed,
            Self::Hook => Fault::Hook,
            Self::OutlivedRecords => Fault::OutlivedRecords,
            Self::Exchanged => Fault::Exchanged,
        }
    }
}

impl From<&Fault> for AbortReason {
    fn from(fault: &Fault) -> Self {
        match fault {
            Fault::DeadlineExceeded | Fault::HookTimedOut { .. } | Fault::TimedOut => {
                Self::DeadlineExceeded
            }
            Fault::NestedTransaction => Self::NestedTransaction,
            Fault::TransactionEnded(_) => Self::TransactionEnded,
            Fault::OutlivedRecords => Self::OutlivedRecords,
            Fault::Exchanged => Self::Exchanged,
            _ => Self::Incomplete,
        }
    }
}
