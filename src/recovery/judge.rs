//! The verdict on a branch that a server lists. No I/O.

use std::time::Duration;

use crate::backend::{ListedBranch, Reach};
use crate::gid::Branch;
use crate::recovery::report::InDoubtReason;

/// The age from which a branch in doubt is worth a warning.
pub(super) const OLD: Duration = Duration::from_secs(60);

/// The treatment of a branch.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Ask the branch's holder, and finish the branch by the answer.
    Ask(Branch),
    /// Leave the branch alone, and report it.
    Leave(InDoubtReason),
    /// Ignore the branch: it belongs to another bind or application.
    Ignore,
}

/// The bind that found a branch, and its application.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finder<'a> {
    /// The namespace of the application.
    pub(super) namespace: &'a str,
    /// The bind whose server lists the branch.
    pub(super) bind: &'a str,
}

/// Returns the verdict on a branch. For the time `grace`, a branch is left to the process that prepared it. That only
/// avoids needless work: the fence makes recovery safe at any age. `has_bind` returns whether this process has a bind
/// of a key.
pub(super) fn judge(
    listed: &ListedBranch,
    finder: Finder<'_>,
    grace: Duration,
    has_bind: impl Fn(&str) -> bool,
) -> Verdict {
    let is_older = |age| listed.age.is_none_or(|known| known >= age);
    if listed.namespace != finder.namespace {
        // Its own application finishes the branch. While it does not, the branch keeps locks in our database.
        return match listed.reach {
            Reach::Here if is_older(OLD) => {
                Verdict::Leave(InDoubtReason::ForeignNamespace(listed.namespace.clone()))
            }
            _ => Verdict::Ignore,
        };
    }
    // Another bind of ours may lead to another database of the same server.
    let is_of_finder = listed.bind == finder.bind;
    match (&listed.branch, &listed.reach) {
        (None, _) | (_, Reach::OtherDatabase(_)) if !is_of_finder => Verdict::Ignore,
        _ if !is_older(grace) => Verdict::Leave(InDoubtReason::Young),
        (_, Reach::OtherDatabase(name)) => {
            Verdict::Leave(InDoubtReason::OtherDatabase(name.clone()))
        }
        (_, Reach::OtherRole(name)) => Verdict::Leave(InDoubtReason::OtherRole(name.clone())),
        (_, Reach::Lost) => Verdict::Leave(InDoubtReason::NameLost),
        (None, Reach::Here) => Verdict::Leave(InDoubtReason::HolderNotNamed),
        (Some(branch), _) if !has_bind(branch.gid.holder()) => {
            Verdict::Leave(InDoubtReason::UnknownHolder)
        }
        (Some(branch), Reach::Here) => Verdict::Ask(branch.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GID: &str = "db1:shop:0190c2f1a5b27e3c9d4f8a6b1c2d3e4f:ledger:0190c2f1a5b27e3c9d4f8a6b1c2d3e50:accounts:1";

    const FINDER: Finder<'_> = Finder {
        namespace: "shop",
        bind: "accounts",
    };

    fn listed(age: Option<u64>) -> ListedBranch {
        let branch: Branch = GID.parse().unwrap();
        ListedBranch {
            name: GID.into(),
            namespace: "shop".into(),
            unit: branch.gid.unit,
            bind: "accounts".into(),
            branch: Some(branch),
            age: age.map(Duration::from_secs),
            reach: Reach::Here,
        }
    }

    fn verdict(listed: &ListedBranch, finder: Finder<'_>) -> Verdict {
        judge(listed, finder, Duration::from_secs(3), |key| {
            key == "ledger"
        })
    }

    #[test]
    fn a_branch_is_only_touched_when_its_holder_can_be_asked() {
        for age in [Some(3), None] {
            assert!(matches!(verdict(&listed(age), FINDER), Verdict::Ask(_)));
        }
        assert!(matches!(
            verdict(&listed(Some(2)), FINDER),
            Verdict::Leave(InDoubtReason::Young)
        ));
        let nobody = judge(&listed(None), FINDER, Duration::ZERO, |_| false);
        assert!(matches!(
            nobody,
            Verdict::Leave(InDoubtReason::UnknownHolder)
        ));
        let unplaced = ListedBranch {
            branch: None,
            ..listed(None)
        };
        assert!(matches!(
            verdict(&unplaced, FINDER),
            Verdict::Leave(InDoubtReason::HolderNotNamed)
        ));
    }

    #[test]
    fn a_branch_out_of_reach_is_left_alone() {
        let elsewhere = ListedBranch {
            reach: Reach::OtherDatabase("old".into()),
            ..listed(None)
        };
        assert!(matches!(
            verdict(&elsewhere, FINDER),
            Verdict::Leave(InDoubtReason::OtherDatabase(name)) if name == "old"
        ));
        let role = ListedBranch {
            reach: Reach::OtherRole("boss".into()),
            ..listed(None)
        };
        assert!(matches!(
            verdict(&role, FINDER),
            Verdict::Leave(InDoubtReason::OtherRole(name)) if name == "boss"
        ));
    }

    #[test]
    fn a_branch_of_another_bind_of_the_server_is_left_to_it() {
        let other = Finder {
            bind: "stock",
            ..FINDER
        };
        let elsewhere = ListedBranch {
            reach: Reach::OtherDatabase("accounts".into()),
            ..listed(None)
        };
        let unplaced = ListedBranch {
            branch: None,
            ..listed(None)
        };
        for listed in [elsewhere, unplaced] {
            assert!(matches!(verdict(&listed, other), Verdict::Ignore));
        }
        // In one database, either may finish it.
        assert!(matches!(verdict(&listed(None), other), Verdict::Ask(_)));
    }

    #[test]
    fn a_branch_of_another_application_is_never_touched_and_reported_when_it_is_old() {
        let other = Finder {
            namespace: "blog",
            ..FINDER
        };
        assert!(matches!(verdict(&listed(Some(59)), other), Verdict::Ignore));
        assert!(matches!(
            verdict(&listed(Some(60)), other),
            Verdict::Leave(InDoubtReason::ForeignNamespace(name)) if name == "shop"
        ));
        let elsewhere = ListedBranch {
            reach: Reach::OtherDatabase("old".into()),
            ..listed(Some(60))
        };
        assert!(matches!(verdict(&elsewhere, other), Verdict::Ignore));
    }
}
