//! What may be done with a branch that a server lists. No I/O.

use std::time::Duration;

use crate::backend::Found;
use crate::gid::Branch;
use crate::recovery::report::Left;

/// What to do with a branch.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Ask its holder, and finish it accordingly.
    Ask(Branch),
    /// Leave it alone.
    Leave(Left),
}

/// Judges a branch, given whether this process has a bind of a key, and how long a branch is left to the process that
/// prepared it: only politeness, as the fence makes it safe at any age.
pub(super) fn judge(found: &Found, grace: Duration, has_bind: impl Fn(&str) -> bool) -> Verdict {
    let Some(branch) = &found.branch else {
        return Verdict::Leave(Left::Unplaced);
    };
    if !has_bind(branch.gid.holder()) {
        return Verdict::Leave(Left::UnknownHolder);
    }
    if found.age.is_some_and(|age| age < grace) {
        return Verdict::Leave(Left::Young);
    }
    Verdict::Ask(branch.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GID: &str = "db1:shop:0190c2f1a5b27e3c9d4f8a6b1c2d3e4f:ledger:0190c2f1a5b27e3c9d4f8a6b1c2d3e50:accounts";

    fn found(branch: Option<&str>, age: Option<u64>) -> Found {
        Found {
            name: GID.into(),
            branch: branch.map(|text| text.parse().unwrap()),
            age: age.map(Duration::from_secs),
        }
    }

    #[test]
    fn a_branch_is_only_touched_when_its_holder_can_be_asked() {
        let knows_ledger = |key: &str| key == "ledger";
        let verdict =
            |found: Found, has: fn(&str) -> bool| judge(&found, Duration::from_secs(60), has);
        assert!(matches!(
            verdict(found(Some(GID), Some(61)), knows_ledger),
            Verdict::Ask(_)
        ));
        assert!(matches!(
            verdict(found(Some(GID), None), knows_ledger),
            Verdict::Ask(_)
        ));
        assert!(matches!(
            verdict(found(Some(GID), Some(59)), knows_ledger),
            Verdict::Leave(Left::Young)
        ));
        assert!(matches!(
            verdict(found(Some(GID), Some(61)), |_| false),
            Verdict::Leave(Left::UnknownHolder)
        ));
        assert!(matches!(
            verdict(found(None, Some(61)), knows_ledger),
            Verdict::Leave(Left::Unplaced)
        ));
    }
}
