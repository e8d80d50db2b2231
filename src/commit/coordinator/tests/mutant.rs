//! Coordinators that are wrong in one way each about what is kept of a unit that does not commit.

use super::fake::KEYS;
use crate::commit::{CommitError, Committed, Undone};

/// What a coordinator does wrong.
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

/// All of them.
pub(super) const ALL: [Mutation; 5] = [
    Mutation::EndedIsNothing,
    Mutation::UnconfirmedIsNothing,
    Mutation::OnlyFirstAsked,
    Mutation::EndedForgetsPending,
    Mutation::EndedNamesOne,
];

/// What the coordinator makes of what a participant says.
pub(super) fn believed(mutation: Option<Mutation>, key: &str, undone: Undone) -> Undone {
    match (mutation, undone) {
        (Some(Mutation::EndedIsNothing), Undone::Ended)
        | (Some(Mutation::UnconfirmedIsNothing), Undone::Unconfirmed) => Undone::NothingKept,
        (Some(Mutation::OnlyFirstAsked), _) if key != KEYS[0] => Undone::NothingKept,
        _ => undone,
    }
}

/// What it tells its caller.
pub(super) fn told(
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
