//! Conversions of an abort reason: from and to a fault, and into the error of a unit that can only be rolled back.

use crate::commit::Fault;
use crate::error::{AbortReason, Error};

impl AbortReason {
    pub(super) fn on(self, bind: &'static str) -> Error {
        Error::AbortOnly { bind, reason: self }
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

impl From<AbortReason> for Fault {
    fn from(reason: AbortReason) -> Self {
        match reason {
            AbortReason::DeadlineExceeded => Self::DeadlineExceeded,
            AbortReason::TransactionEnded => {
                Self::TransactionEnded(diesel::result::Error::NotInTransaction)
            }
            AbortReason::NestedTransaction => Self::NestedTransaction,
            AbortReason::Incomplete => Self::Incomplete,
            AbortReason::NotBegun => Self::NotBegun,
            AbortReason::NestedWorkFailed => Self::NestedWorkFailed,
            AbortReason::Hook => Self::Hook,
            AbortReason::OutlivedRecords => Self::OutlivedRecords,
            AbortReason::Exchanged => Self::Exchanged,
        }
    }
}
