//! Examines all databases after a case: is the unit whole, was its result true, does recovery finish in time, and is
//! every earlier unit unchanged?

use std::time::{Duration, Instant};

use diesel_binds::UnitId;
use diesel_binds::recovery::Outcome;
use kit::look::Look;
use kit::world::{Sides, World};
use tokio::time::sleep;

use crate::case::Shape;
use crate::history::History;
use crate::recoverer::{Recoverer, Resolved};
use crate::unit::CommitReport;

/// The longest time of recovery after the servers are back.
const RECOVERY: Duration = Duration::from_secs(5);

/// The longest wait after a failed case, so that it does not spoil the next one.
const MERCY: Duration = Duration::from_secs(30);

/// The problems of a case; empty if there are none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) torn: Option<String>,
    pub(crate) lie: Option<String>,
    pub(crate) unrecovered: Option<String>,
    /// The fault did not fire, so the case proves nothing.
    pub(crate) missed: bool,
    /// The number of branches of earlier units that a server listed again although they had been rolled back.
    pub(crate) back: usize,
    pub(crate) recovery: Duration,
    /// A word for the result of the unit.
    pub(crate) reported: &'static str,
}

impl Verdict {
    pub(crate) fn is_ok(&self) -> bool {
        self.problems().is_empty()
    }

    pub(crate) fn problems(&self) -> Vec<String> {
        let named = [
            ("torn", &self.torn),
            ("a lie", &self.lie),
            ("not recovered", &self.unrecovered),
        ];
        let problems = named
            .into_iter()
            .filter_map(|(name, problem)| Some(format!("{name}: {}", problem.as_ref()?)));
        let missed = self.missed.then(|| "the fault did not happen".to_owned());
        problems.chain(missed).collect()
    }
}

/// A unit that has ended.
pub(crate) struct Unit<'a> {
    pub(crate) id: UnitId,
    pub(crate) shape: Shape,
    /// The text that it wrote.
    pub(crate) text: &'a str,
    pub(crate) reported: &'a CommitReport,
    /// The MariaDB server that was killed during the unit.
    pub(crate) forgetful: Option<usize>,
    /// The outcome that an operator forced successfully.
    pub(crate) forced: Option<Outcome>,
}

/// Judges a case. All servers are up, and all other clients have disconnected or are about to.
pub(crate) async fn judge<S: Sides>(
    world: &World,
    namespace: &str,
    recoverer: &Recoverer,
    history: &mut History,
    unit: Unit<'_>,
) -> Verdict {
    let Unit {
        shape,
        text,
        reported,
        ..
    } = unit;
    let mut verdict = Verdict::default();
    let mut looks = Vec::new();
    for database in &world.databases {
        looks.push(Look::at(database).await);
    }
    let left = match listed::<S>(&mut looks, namespace, history, &unit).await {
        Ok(back) => {
            verdict.back = back;
            None
        }
        Err(lie) => Some(lie),
    };

    let start = Instant::now();
    loop {
        let rest = rest::<S>(&mut looks, namespace, recoverer).await;
        let time = start.elapsed();
        match rest {
            None => {
                verdict.recovery = time;
                break;
            }
            Some(rest) if time > RECOVERY => {
                verdict.unrecovered = Some(rest);
                if time > MERCY {
                    break;
                }
            }
            Some(_) => {}
        }
        sleep(Duration::from_millis(10)).await;
    }
    if verdict.recovery > RECOVERY && verdict.unrecovered.is_none() {
        verdict.unrecovered = Some(format!("only after {:?}", verdict.recovery));
    }

    let rows = S::rows(world).await;
    let kept: Vec<bool> = rows
        .iter()
        .skip(usize::from(shape == Shape::Read))
        .map(|rows| rows.iter().any(|row| row == text))
        .collect();
    if kept.iter().any(|one| *one != kept[0]) {
        verdict.torn = Some(format!("{kept:?}, and its caller got: {reported}"));
    }
    let changed = history.changed(&rows);
    if !changed.is_empty() {
        verdict.torn = Some(format!("units before: {}", changed.join("; ")));
    }
    history.note(unit.id, text, &rows);
    verdict.lie = match is_true(&unit, kept[0], kept.len(), recoverer).await {
        Ok(()) => left,
        Err(lie) => Some(lie),
    };
    verdict
}

/// Compares the result of the unit, and the force of an operator, with the rows.
async fn is_true(
    Unit {
        reported, forced, ..
    }: &Unit<'_>,
    kept: bool,
    writers: usize,
    recoverer: &Recoverer,
) -> Result<(), String> {
    let holds = match reported {
        CommitReport::Nothing => true,
        CommitReport::Committed { .. } => kept,
        CommitReport::RolledBack { .. } => !kept,
        CommitReport::InDoubt(gid) => match recoverer.resolve(gid).await? {
            Resolved::As(outcome) => (outcome == Outcome::Committed) == kept,
            // The holder has no decision only if an operator has decided in its place.
            Resolved::Forced => forced.is_some(),
        },
        CommitReport::Unknown => writers == 1,
        CommitReport::Unexpected(_) => false,
    };
    if let Some(forced) = forced
        && (*forced == Outcome::Committed) != kept
    {
        return Err(format!(
            "an operator has forced {forced:?}, and it is kept: {kept}"
        ));
    }
    if holds {
        Ok(())
    } else {
        Err(format!(
            "its caller got: {reported}, and it is kept: {kept}"
        ))
    }
}

/// Checks the prepared branches before recovery: a branch that was reported as finished must not be listed. Returns the
/// number of branches of earlier units that came back.
///
/// MariaDB does not flush the roll-back of a branch: if it is killed right after it confirmed one, it lists the branch
/// again. So the killed server may list a branch of a rolled-back unit, this one or an earlier one. The rows show the
/// result of its recovery.
async fn listed<S: Sides>(
    looks: &mut [Look],
    namespace: &str,
    history: &History,
    unit: &Unit<'_>,
) -> Result<usize, String> {
    let reported = unit.reported;
    let mut back = 0;
    for (index, (look, key)) in looks.iter_mut().zip(S::keys()).enumerate() {
        let forgot = unit.forgetful == Some(index);
        for branch in look.prepared(namespace).await {
            let is_named = |pending: &[String]| pending.iter().any(|named| named == key);
            let (may_be, whose) = if branch.unit == unit.id.to_string() {
                let may_be = match reported {
                    CommitReport::Committed { pending } => is_named(pending),
                    CommitReport::RolledBack { pending } => forgot || is_named(pending),
                    _ => true,
                };
                (may_be, "this unit")
            } else {
                back += 1;
                match history.is_rolled_back(&branch.unit) {
                    Some(true) => (forgot, "a unit before, which was rolled back"),
                    Some(false) => (false, "a unit before, which was committed"),
                    None => (false, "a unit that nobody knows"),
                }
            };
            if !may_be {
                return Err(format!(
                    "{branch:?} on {key} is of {whose}, and its caller got: {reported}"
                ));
            }
        }
    }
    Ok(back)
}

/// Returns a transaction or a branch that is not finished yet.
async fn rest<S: Sides>(
    looks: &mut [Look],
    namespace: &str,
    recoverer: &Recoverer,
) -> Option<String> {
    let pass = recoverer.pass().await;
    // Open transactions come first: one of them may still be about to prepare.
    for (look, key) in looks.iter_mut().zip(S::keys()) {
        let mut open = look.open().await;
        open.extend(look.transactions().await);
        if !open.is_empty() {
            return Some(format!("open on {key}: {open:?}"));
        }
    }
    for (look, key) in looks.iter_mut().zip(S::keys()) {
        let prepared = look.prepared(namespace).await;
        if !prepared.is_empty() {
            return Some(format!("prepared on {key}: {prepared:?}"));
        }
    }
    pass
}
