//! The rule for when the record of a decision may be deleted. No I/O.

use std::time::Duration;

use crate::gid::DatabaseId;

/// The result of listing one participant, after the record of the decision was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ParticipantState {
    /// The participant was not read: no answer, or this process has no bind of its key.
    Unreached,
    /// The database behind the key has another id than the record names.
    Replaced,
    /// The database lists the branch as prepared: recovery will ask for the decision.
    Listed,
    /// The database is the one in the record, and lists the branch no more.
    Gone,
}

/// Returns whether the record of a committed unit may be deleted. Each participant in it must have finished, and the
/// retention must have passed. Until then, others may ask for the outcome.
///
/// All branches were prepared before the decision. So a branch that is not listed *after* the record was read is
/// finished, and never comes back. A list that was read before the record may lack a branch that was prepared in
/// between.
///
/// Records of units that were rolled back are never deleted: they exclude a decision that may still arrive.
pub(super) fn may_forget(
    participants: &[(String, DatabaseId)],
    age: Duration,
    retention: Duration,
    state: impl Fn(&str, &DatabaseId) -> ParticipantState,
) -> bool {
    age >= retention
        && participants
            .iter()
            .all(|(bind, id)| state(bind, id) == ParticipantState::Gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn participants() -> Vec<(String, DatabaseId)> {
        ["accounts", "ledger"]
            .map(|bind| (bind.to_owned(), DatabaseId::generate()))
            .into()
    }

    #[test]
    fn a_record_is_kept_until_each_participant_is_seen_to_have_finished() {
        let participants = participants();
        for other in [
            ParticipantState::Unreached,
            ParticipantState::Replaced,
            ParticipantState::Listed,
            ParticipantState::Gone,
        ] {
            for odd in ["accounts", "ledger"] {
                let state = |bind: &str, _: &DatabaseId| {
                    if bind == odd {
                        other
                    } else {
                        ParticipantState::Gone
                    }
                };
                assert_eq!(
                    may_forget(&participants, DAY, DAY, state),
                    other == ParticipantState::Gone,
                    "{odd}: {other:?}"
                );
            }
        }
    }

    #[test]
    fn a_record_is_kept_for_its_retention() {
        let young = DAY - Duration::from_millis(1);
        assert!(!may_forget(&participants(), young, DAY, |_, _| {
            ParticipantState::Gone
        }));
        assert!(may_forget(&participants(), DAY, DAY, |_, _| {
            ParticipantState::Gone
        }));
    }

    #[test]
    fn each_participant_is_looked_up_by_its_key_and_its_id() {
        let participants = participants();
        let state = |bind: &str, id: &DatabaseId| {
            if participants.contains(&(bind.to_owned(), *id)) {
                ParticipantState::Gone
            } else {
                ParticipantState::Unreached
            }
        };
        assert!(may_forget(&participants, DAY, DAY, state));
    }

    #[test]
    fn a_lone_writer_is_remembered_for_its_retention_alone() {
        assert!(may_forget(&[], DAY, DAY, |_, _| {
            ParticipantState::Unreached
        }));
        assert!(!may_forget(&[], Duration::ZERO, DAY, |_, _| {
            ParticipantState::Gone
        }));
    }
}
