//! Conversions of an abort reason: from a fault, and into the error of a unit that can only be rolled back.

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
