//! Looks at all databases after a case: is the unit whole, was the answer true, does recovery finish it in time, and is
//! every unit before it as it was?

use std::time::{Duration, Instant};

use diesel_binds::{Outcome, UnitId};
use kit::look::Look;
use kit::world::{Sides, World};
use tokio::time::sleep;

use crate::case::Shape;
use crate::history::History;
use crate::recoverer::{Recoverer, Settled};
use crate::unit::Heard;

/// How long recovery may take, once the servers are back.
const RECOVERY: Duration = Duration::from_secs(5);

/// After that, so that a case that failed does not spoil the next one.
const MERCY: Duration = Duration::from_secs(30);

/// What was wrong in a case: nothing, if it is as it should be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) torn: Option<String>,
    pub(crate) lie: Option<String>,
    pub(crate) unrecovered: Option<String>,
    /// The fault did not happen: the case shows nothing.
    pub(crate) missed: bool,
    /// Branches of units before, that a server listed again although they had been rolled back.
    pub(crate) back: usize,
    pub(crate) recovery: Duration,
    /// A word for what the caller heard.
    pub(crate) heard: &'static str,
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

/// A unit that came to its end, one way or the other.
pub(crate) struct Unit<'a> {
    pub(crate) id: UnitId,
    pub(crate) shape: Shape,
    /// What it wrote.
    pub(crate) text: &'a str,
    pub(crate) heard: &'a Heard,
    /// The MariaDB server that was killed in it.
    pub(crate) forgetful: Option<usize>,
    /// What an operator was told to be done with it.
    pub(crate) forced: Option<Outcome>,
}

/// Judges a case: all servers are up, and nobody but us is connected any more, or is about to leave.
pub(crate) async fn judge<S: Sides>(
    world: &World,
    namespace: &str,
    recoverer: &Recoverer,
    history: &mut History,
    unit: Unit<'_>,
) -> Verdict {
    let Unit {
        shape, text, heard, ..
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
        verdict.torn = Some(format!("{kept:?}, and its caller heard: {heard}"));
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

/// Whether what the caller heard is so, and what an operator did.
async fn is_true(
    Unit { heard, forced, .. }: &Unit<'_>,
    kept: bool,
    writers: usize,
    recoverer: &Recoverer,
) -> Result<(), String> {
    let holds = match heard {
        Heard::Nothing => true,
        Heard::Committed { .. } => kept,
        Heard::RolledBack { .. } => !kept,
        Heard::InDoubt(gid) => match recoverer.settle(gid).await? {
            Settled::As(outcome) => (outcome == Outcome::Committed) == kept,
            // The holder does not know, and only where an operator has decided in its place.
            Settled::Forced => forced.is_some(),
        },
        Heard::Unknown => writers == 1,
        Heard::Unexpected(_) => false,
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
        Err(format!("its caller heard: {heard}, and it is kept: {kept}"))
    }
}

/// Looks at what is prepared before we recover: nothing may be that a caller heard to be finished. Returns how many
/// branches of earlier units came back.
///
/// MariaDB does not flush that a branch was rolled back: killed right after it has said so, it lists it again. So the
/// server that was killed may list one of a unit that is rolled back, be it this one or one before. What recovery does
/// with that is seen in the rows.
async fn listed<S: Sides>(
    looks: &mut [Look],
    namespace: &str,
    history: &History,
    unit: &Unit<'_>,
) -> Result<usize, String> {
    let heard = unit.heard;
    let mut back = 0;
    for (index, (look, key)) in looks.iter_mut().zip(S::keys()).enumerate() {
        let forgot = unit.forgetful == Some(index);
        for branch in look.prepared(namespace).await {
            let is_named = |pending: &[String]| pending.iter().any(|named| named == key);
            let (may_be, whose) = if branch.unit == unit.id.to_string() {
                let may_be = match heard {
                    Heard::Committed { pending } => is_named(pending),
                    Heard::RolledBack { pending } => forgot || is_named(pending),
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
                    "{branch:?} on {key} is of {whose}, and its caller heard: {heard}"
                ));
            }
        }
    }
    Ok(back)
}

/// What recovery has not finished yet, or nobody has ended yet.
async fn rest<S: Sides>(
    looks: &mut [Look],
    namespace: &str,
    recoverer: &Recoverer,
) -> Option<String> {
    let pass = recoverer.pass().await;
    // First what is open: of a transaction that is open now, a prepare may still be under way.
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
