//! When the record of a decision may be forgotten. No I/O.

use std::time::Duration;

use crate::gid::DatabaseId;

/// What a look at one participant showed, after the record of the decision was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Seen {
    /// It was not looked at: no answer, or this process has no bind of its key.
    Unreached,
    /// The database behind its key has another id than the record says.
    Replaced,
    /// It lists the branch as prepared: somebody will ask for the decision.
    Listed,
    /// It is the database of the record, and lists the branch no more.
    Gone,
}

/// Whether the record that a unit committed may be deleted: each participant that it names was seen to have finished,
/// and whoever wants to know the outcome has had the time to ask.
///
/// All branches were prepared before the decision. So one that is not listed *after* the record was read is finished,
/// and never comes back; one that was looked at before may have been prepared since.
///
/// Records that a unit was rolled back are never deleted: they keep out a decision that is still on its way.
pub(super) fn may_forget(
    participants: &[(String, DatabaseId)],
    age: Duration,
    retention: Duration,
    seen: impl Fn(&str, &DatabaseId) -> Seen,
) -> bool {
    age >= retention
        && participants
            .iter()
            .all(|(bind, id)| seen(bind, id) == Seen::Gone)
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
        for other in [Seen::Unreached, Seen::Replaced, Seen::Listed, Seen::Gone] {
            for odd in ["accounts", "ledger"] {
                let seen =
                    |bind: &str, _: &DatabaseId| if bind == odd { other } else { Seen::Gone };
                assert_eq!(
                    may_forget(&participants, DAY, DAY, seen),
                    other == Seen::Gone,
                    "{odd}: {other:?}"
                );
            }
        }
    }

    #[test]
    fn a_record_is_kept_for_its_retention() {
        let young = DAY - Duration::from_millis(1);
        assert!(!may_forget(&participants(), young, DAY, |_, _| Seen::Gone));
        assert!(may_forget(&participants(), DAY, DAY, |_, _| Seen::Gone));
    }

    #[test]
    fn each_participant_is_looked_up_by_its_key_and_its_id() {
        let participants = participants();
        let seen = |bind: &str, id: &DatabaseId| {
            if participants.contains(&(bind.to_owned(), *id)) {
                Seen::Gone
            } else {
                Seen::Unreached
            }
        };
        assert!(may_forget(&participants, DAY, DAY, seen));
    }

    #[test]
    fn a_lone_writer_is_remembered_for_its_retention_alone() {
        assert!(may_forget(&[], DAY, DAY, |_, _| Seen::Unreached));
        assert!(!may_forget(&[], Duration::ZERO, DAY, |_, _| Seen::Gone));
    }
}
