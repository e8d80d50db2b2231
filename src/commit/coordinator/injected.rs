//! The steps of a commit with the faults of a plan at their points.

use std::sync::atomic::{AtomicBool, Ordering};

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::commit::Fault;
use crate::commit::coordinator::step::{Prepared, StepReply, carry_out};
use crate::commit::inject::{Effect, FaultPlan, Moment, Point};
use crate::commit::participant::{Decision, Participant};
use crate::commit::protocol::Step;

/// Turns of the runtime after which a step has been sent: the drivers have tasks and threads of their own.
const TURNS: usize = 8;

/// The faults of one commit.
#[derive(Default)]
pub(super) struct Injection {
    pub(super) plan: Option<FaultPlan>,
    died: AtomicBool,
}

/// The state of the commit after a point.
enum Then {
    GoOn,
    /// The process died here.
    Die,
    /// The process died at the point of another bind.
    BeDead,
    Disconnect,
    Refuse,
}

impl Injection {
    pub(super) fn new(plan: Option<FaultPlan>) -> Self {
        Self {
            plan,
            died: AtomicBool::new(false),
        }
    }

    pub(super) fn has_died(&self) -> bool {
        self.died.load(Ordering::SeqCst)
    }

    async fn reach(&self, plan: &FaultPlan, point: Point) -> Then {
        if self.has_died() {
            return Then::BeDead;
        }
        let mut dies = false;
        for effect in plan.pass(&point) {
            tracing::debug!(%point, %effect, "a fault of the test plan");
            match effect {
                Effect::Crash => dies = true,
                Effect::Kill => kill(),
                Effect::Disconnect => return Then::Disconnect,
                Effect::Refuse => return Then::Refuse,
                Effect::Delay(time) => tokio::time::sleep(time).await,
                Effect::Call(hook) => hook.call(point.clone()).await,
            }
        }
        if dies {
            self.died.store(true, Ordering::SeqCst);
            return Then::Die;
        }
        // The process may have died in the meantime.
        if self.has_died() {
            return Then::BeDead;
        }
        Then::GoOn
    }
}

/// Carries out a step with the faults that the plan has for it.
pub(super) fn carry_out_with_faults<'a>(
    injection: &'a Injection,
    participant: &'a mut Box<dyn Participant>,
    key: &'static str,
    step: Step,
    branch: Option<&'a Prepared>,
    decision: Option<&'a Decision>,
) -> BoxFuture<'a, StepReply> {
    let Some(plan) = &injection.plan else {
        return carry_out(participant, step, branch, decision);
    };
    async move {
        let at = |moment| Point::new(step, key, moment);
        match injection.reach(plan, at(Moment::Before)).await {
            Then::GoOn => {}
            Then::Die | Then::BeDead => return dead(),
            Then::Disconnect => return lose(participant, step).await,
            Then::Refuse => return refuse(participant, step).await,
        }
        let mut carried_out = carry_out(participant, step, branch, decision);
        let early = tokio::select! {
            biased;
            result = &mut carried_out => Some(result),
            () = turns() => None,
        };
        let result = match (injection.reach(plan, at(Moment::Sent)).await, early) {
            (Then::GoOn, Some(result)) => result,
            (Then::GoOn, None) => (&mut carried_out).await,
            // The step was sent before the process died at another bind's point. Its server carries the step out, and
            // the reply is not read. Closing the connection here would leave open whether recovery comes before that or
            // after.
            (Then::BeDead, None) => {
                (&mut carried_out).await;
                return dead();
            }
            (Then::Die, _) | (Then::BeDead, Some(_)) => return dead(),
            (Then::Disconnect | Then::Refuse, _) => {
                drop(carried_out);
                return lose(participant, step).await;
            }
        };
        drop(carried_out);
        match injection.reach(plan, at(Moment::After)).await {
            Then::GoOn => result,
            Then::Die | Then::BeDead => dead(),
            Then::Disconnect | Then::Refuse => lose(participant, step).await,
        }
    }
    .boxed()
}

async fn turns() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}

/// Returns a result that nothing reads: the commit is over.
fn dead() -> StepReply {
    StepReply::Failed(Fault::Incomplete)
}

/// Cuts the connection, so that the work of its transaction or the reply to the step is lost.
async fn lose(participant: &mut Box<dyn Participant>, step: Step) -> StepReply {
    participant.cut().await;
    let fault = Fault::Lost(DieselError::DatabaseError(
        DatabaseErrorKind::ClosedConnection,
        Box::new(String::from("the test plan cut the connection")),
    ));
    match step {
        Step::RollBack => StepReply::Done,
        Step::End | Step::Commit => StepReply::Unknown(fault),
        _ => StepReply::Failed(fault),
    }
}

/// Acts for a server that refuses the step. A refused lone commit, or end of a reader, is rolled back.
async fn refuse(participant: &mut Box<dyn Participant>, step: Step) -> StepReply {
    match step {
        // A roll-back has no reply that could be an error: a connection on which it fails is closed.
        Step::RollBack => {
            participant.cut().await;
            return StepReply::Done;
        }
        Step::End | Step::Commit => {
            let _ = participant.roll_back().await;
        }
        _ => {}
    }
    StepReply::Failed(Fault::Refused(DieselError::DatabaseError(
        DatabaseErrorKind::Unknown,
        Box::new(String::from("the test plan refused the step")),
    )))
}

fn kill() {
    #[cfg(unix)]
    if let Err(error) =
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
    {
        tracing::error!(%error, "the process could not kill itself");
    }
    std::process::abort();
}
