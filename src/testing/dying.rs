//! Runs a unit of work once for each point and fault, and recovers.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::registry::Binds;
use crate::session::Session;
use crate::testing::{Effect, FaultPlan, Moment, Point};

/// The time limit of recovery, on a loaded machine.
const RECOVERY: Duration = Duration::from_secs(60);

/// The faults in one run of a unit: none, one, or several in sequence.
#[derive(Clone, Debug)]
pub struct Case {
    faults: Vec<(Point, Effect)>,
}

impl Case {
    /// Returns the points, and the fault at each.
    #[must_use]
    pub fn faults(&self) -> &[(Point, Effect)] {
        &self.faults
    }

    fn plan(&self) -> FaultPlan {
        let faults = self.faults.iter().cloned();
        faults.fold(FaultPlan::new(), |plan, (point, effect)| {
            plan.at_point(point, effect)
        })
    }

    fn and(&self, point: &Point, effect: Effect) -> Self {
        let mut faults = self.faults.clone();
        faults.push((point.clone(), effect));
        Self { faults }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.faults.is_empty() {
            return f.write_str("no fault");
        }
        for (index, (point, effect)) in self.faults.iter().enumerate() {
            let then = if index > 0 { ", then " } else { "" };
            write!(f, "{then}{effect} at {point}")?;
        }
        Ok(())
    }
}

/// Runs a unit repeatedly, each time with another fault in its commit, until every step has failed once. After each
/// run, the function recovers as another process would, and calls `check`.
///
/// Two runs without a fault find the points. Then each run has one fault at one point: a crash of the process, a lost
/// connection, or a refusal of the server. If a fault leads to further steps, further runs add a crash at each of
/// those. Returns the cases in which all planned faults happened.
///
/// `unit` gets a session, must commit, and must be able to run again on the data that `check` leaves: let `check`
/// restore it. `unit` may also use sessions of its own from `binds`. All sessions of `binds` fail as planned while it
/// runs, so no other unit should use them.
///
/// `check` gets the result of the unit, or `None` if the process died before it could return: then both outcomes are
/// possible. `check` must find all of the unit or nothing, in agreement with the result. It should name the case in its
/// panics. Sessions that the unit abandoned may not all be rolled back when `check` is called: a statement of it may
/// have to wait for their locks.
///
/// # Panics
///
/// If a run without a fault commits nothing, or if a unit is still in doubt after a minute of recovery.
///
/// # Cancel safety
///
/// Dropping the future leaves the registry with the plan of the case that runs.
pub async fn dying_at_every_step<T, E, U, C>(binds: &Binds, unit: U, check: C) -> Vec<Case>
where
    U: AsyncFn(&mut Session) -> Result<T, E>,
    C: AsyncFn(&Case, Option<Result<T, E>>),
{
    // In the first run, each bind is asked for its id.
    let undisturbed = Case { faults: Vec::new() };
    run(binds, &undisturbed, &unit, &check).await;
    let passed = run(binds, &undisturbed, &unit, &check).await.passed();
    assert!(!passed.is_empty(), "the unit commits nothing");

    let mut seen: HashSet<Point> = passed.iter().cloned().collect();
    let mut cases: VecDeque<Case> = passed
        .iter()
        .flat_map(|point| {
            let effects = effects_at(point.moment).iter();
            effects.map(|effect| undisturbed.and(point, effect.clone()))
        })
        .collect();
    let mut done = Vec::new();
    while let Some(case) = cases.pop_front() {
        let plan = run(binds, &case, &unit, &check).await;
        if plan.fired().len() < case.faults.len() {
            continue;
        }
        let further = plan.passed().into_iter();
        for point in further.filter(|point| point.moment != Moment::Sent) {
            if seen.insert(point.clone()) {
                cases.push_back(case.and(&point, Effect::Crash));
            }
        }
        done.push(case);
    }
    done
}

/// Returns the faults at a point that each have another effect on the databases. A fault while a reply is awaited has
/// the effect of one before or after.
fn effects_at(moment: Moment) -> &'static [Effect] {
    match moment {
        Moment::Before => &[Effect::Crash, Effect::Disconnect, Effect::Refuse],
        Moment::Sent => &[],
        Moment::After => &[Effect::Crash, Effect::Disconnect],
    }
}

async fn run<T, E>(
    binds: &Binds,
    case: &Case,
    unit: &impl AsyncFn(&mut Session) -> Result<T, E>,
    check: &impl AsyncFn(&Case, Option<Result<T, E>>),
) -> FaultPlan {
    let plan = case.plan();
    binds.inject(&plan);
    let mut session = binds.session();
    let result = tokio::select! {
        biased;
        // A dead process receives and does nothing more, so the unit is dropped.
        () = plan.crashed() => None,
        result = unit(&mut session) => Some(result),
    };
    binds.registry.set_faults(None);
    drop(session);
    recover(binds, case).await;
    check(case, result).await;
    plan
}

/// Recovers like another process, some time later.
async fn recover(binds: &Binds, case: &Case) {
    let end = Instant::now() + RECOVERY;
    loop {
        let recovery = binds.recovery().run_older_than(Duration::ZERO).await;
        if recovery.is_complete() {
            return;
        }
        assert!(
            Instant::now() < end,
            "not recovered after {case}:\n{recovery}"
        );
        sleep(Duration::from_millis(50)).await;
    }
}
