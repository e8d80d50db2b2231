//! The faults to inject at points of a commit, and those that were injected.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::commit::inject::Point;

/// The effect of a fault at a point of a commit.
#[derive(Clone)]
#[non_exhaustive]
pub enum Effect {
    /// The commit stops, as if its process had died: nothing more is sent, and the connections of the unit are closed
    /// without a roll-back. The servers of other binds first carry out the steps that they have received, so that
    /// recovery finds these. `commit_all` returns [`CommitError::Interrupted`](crate::CommitError::Interrupted), where
    /// a dead process would have returned nothing.
    Crash,
    /// This process kills itself, with SIGKILL if the system has it. For a unit in a child process.
    Kill,
    /// The connection of the bind is lost. Before the step, the server never receives the step. After the step, the
    /// server has executed it, and its reply is lost.
    Disconnect,
    /// The server refuses the step, and changes nothing. After the step, the effect is that of
    /// [`Disconnect`](Self::Disconnect).
    Refuse,
    /// The commit waits for this time.
    Delay(Duration),
    /// A function of the test runs, and the commit continues when it returns: see [`Effect::call`].
    Call(Hook),
}

/// A function of a test, to be called at a point.
#[derive(Clone)]
pub struct Hook(Arc<dyn Fn(Point) -> BoxFuture<'static, ()> + Send + Sync>);

/// The faults to inject in the commits of a session, or of all sessions of a registry.
///
/// Each fault happens once: the first time that a commit passes its point. A plan without faults only notes the points
/// that are passed. All clones share one plan.
///
/// ```
/// use diesel_binds::testing::{Effect, FaultPlan};
///
/// let plan = FaultPlan::new()
///     .at("prepare:accounts:after", Effect::Disconnect) // its reply is lost
///     .at("undo:before", Effect::Crash); // and then the process dies
/// # assert!(plan.fired().is_empty());
/// ```
#[derive(Clone, Default)]
pub struct FaultPlan {
    state: Arc<PlanState>,
}

#[derive(Default)]
struct PlanState {
    planned: Mutex<Vec<Planned>>,
    passed: Mutex<Vec<Point>>,
    crashed: CancellationToken,
}

struct Planned {
    point: Point,
    effect: Effect,
    /// The point at which the effect happened.
    fired: Option<Point>,
}

impl FaultPlan {
    /// Creates a plan without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fault at the point of this name, like `decide:ledger:before`. Without the key of a bind, the fault
    /// happens on the first bind that reaches the step.
    ///
    /// # Panics
    ///
    /// If `point` is not the name of a point.
    #[must_use]
    pub fn at(self, point: &str, effect: Effect) -> Self {
        match point.parse() {
            Ok(point) => self.at_point(point, effect),
            Err(error) => panic!("{error}"),
        }
    }

    /// Adds a fault at a point.
    #[must_use]
    pub fn at_point(self, point: Point, effect: Effect) -> Self {
        self.state.planned.lock().push(Planned {
            point,
            effect,
            fired: None,
        });
        self
    }

    /// Returns the points that commits have passed, in their order.
    #[must_use]
    pub fn passed(&self) -> Vec<Point> {
        self.state.passed.lock().clone()
    }

    /// Returns the points at which a fault happened.
    #[must_use]
    pub fn fired(&self) -> Vec<Point> {
        let planned = self.state.planned.lock();
        planned.iter().filter_map(|p| p.fired.clone()).collect()
    }

    /// Waits until a commit has crashed and the connections of its unit are closed.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped: nothing is changed.
    pub async fn crashed(&self) {
        self.state.crashed.cancelled().await;
    }

    pub(crate) fn note_crash(&self) {
        self.state.crashed.cancel();
    }

    /// Notes that a commit passes a point, and returns the effects there.
    pub(crate) fn pass(&self, point: &Point) -> Vec<Effect> {
        self.state.passed.lock().push(point.clone());
        let mut planned = self.state.planned.lock();
        let here = planned
            .iter_mut()
            .filter(|planned| planned.fired.is_none() && planned.point.means(point));
        here.map(|planned| {
            planned.fired = Some(point.clone());
            planned.effect.clone()
        })
        .collect()
    }
}

impl Effect {
    /// Calls a function at the point, and continues when it returns. The function can kill a server, run recovery at
    /// the same time, or inspect the state.
    #[must_use]
    pub fn call<F>(function: impl Fn(Point) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::Call(Hook(Arc::new(move |point| function(point).boxed())))
    }
}

impl Hook {
    pub(crate) async fn call(&self, point: Point) {
        (self.0)(point).await;
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash => f.write_str("crash"),
            Self::Kill => f.write_str("kill"),
            Self::Disconnect => f.write_str("disconnect"),
            Self::Refuse => f.write_str("refuse"),
            Self::Delay(time) => write!(f, "delay of {} ms", time.as_millis()),
            Self::Call(_) => f.write_str("call"),
        }
    }
}

impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

impl fmt::Debug for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        for Planned { point, effect, .. } in &*self.state.planned.lock() {
            list.entry(&format_args!("{effect} at {point}"));
        }
        list.finish()
    }
}
