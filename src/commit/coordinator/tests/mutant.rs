//! Broken coordinators: each is wrong in one way about the data that a rolled-back unit leaves.

use super::fake::KEYS;
use crate::commit::{CommitError, Committed, Undone};

/// The defect of a coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutation {
    /// Takes a transaction that was gone for one that was rolled back.
    EndedIsNothing,
    /// Believes a roll-back that nothing confirms.
    UnconfirmedIsNothing,
    /// Asks only the first participant whether it keeps nothing.
    OnlyFirstAsked,
    /// Names no pending member where a transaction was ended.
    EndedForgetsPending,
    /// Names only one of the binds whose transactions were ended.
    EndedNamesOne,
}

/// All defects.
pub(super) const ALL: [Mutation; 5] = [
    Mutation::EndedIsNothing,
    Mutation::UnconfirmedIsNothing,
    Mutation::OnlyFirstAsked,
    Mutation::EndedForgetsPending,
    Mutation::EndedNamesOne,
];

/// Returns the result of a roll-back as the coordinator reads it.
pub(super) fn believed(mutation: Option<Mutation>, key: &str, undone: Undone) -> Undone {
    match (mutation, undone) {
        (Some(Mutation::EndedIsNothing), Undone::Ended)
        | (Some(Mutation::UnconfirmedIsNothing), Undone::Unconfirmed) => Undone::NothingKept,
        (Some(Mutation::OnlyFirstAsked), _) if key != KEYS[0] => Undone::NothingKept,
        _ => undone,
    }
}

/// Returns the result of the unit as the coordinator reports it.
pub(super) fn reported(
    mutation: Option<Mutation>,
    mut result: Result<Committed, CommitError>,
) -> Result<Committed, CommitError> {
    if let Err(CommitError::TransactionEnded { also, pending, .. }) = &mut result {
        match mutation {
            Some(Mutation::EndedForgetsPending) => pending.clear(),
            Some(Mutation::EndedNamesOne) => also.clear(),
            _ => {}
        }
    }
    result
}
