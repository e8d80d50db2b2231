//! Events beside a commit: its statements are cancelled, its sessions ended, its addresses led elsewhere, a standby
//! taken away, or its unit forced.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel_binds::recovery::Outcome;
use diesel_binds::testing::{Effect, Point};
use diesel_binds::{Isolation, SessionOptions};
use kit::proxy::Proxy;
use kit::world::Sides;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::armed::Armed;
use crate::away::{self, StandbyState};
use crate::case::{Case, Trouble};
use crate::elsewhere::Other;
use crate::network::{Damage, How, Message};
use crate::operator::{Operator, move_horizons};
use crate::settings::Limits;
use crate::stage::{Attempted, Stage};
use crate::unit::{self, PATIENT};

/// The time until the cancelling has begun.
const MOMENT: Duration = Duration::from_millis(3);

/// The number of an operator's attempts.
const FORCES: usize = 20;

/// Limits for another server, which answers at once.
const ELSEWHERE: Limits = Limits {
    step: Duration::from_secs(5),
    resolve: Duration::from_secs(2),
};

/// Short limits for a step that waits for a standby.
const AWAY: Limits = Limits {
    step: Duration::from_millis(500),
    resolve: Duration::from_secs(1),
};

impl<S: Sides> Stage<S> {
    /// Holds a message back for a moment. Meanwhile an operator begins to cancel statements, and goes on for a while.
    pub(crate) async fn cancelled(
        &self,
        case: &Case,
        text: &str,
        (server, message): (usize, Message),
        time: Duration,
    ) -> Attempted {
        let mut urls = self.site.urls.clone();
        let damage = Damage {
            how: How::Delay,
            reply: false,
        };
        let fault = damage.fault(message, self.is_mysql(server), MOMENT);
        let armed = Armed::new(case, message, fault, &urls[server]).await;
        let mut operator = Operator::connect(&urls[server]).await;
        urls[server] = armed.proxy.url(&urls[server]);
        let binds = self.site.binds::<S>(&urls, PATIENT).await;
        let over = CancellationToken::new();
        let cancelling = async {
            tokio::select! {
                () = armed.proxy.wait_fired(armed.faults) => {}
                () = over.cancelled() => return,
            }
            operator.cancel_for(time).await;
        };
        let committing = async {
            let reported = unit::run::<S>(&binds, &armed.plan, case.shape, text).await;
            over.cancel();
            reported
        };
        let (reported, ()) = tokio::join!(committing, cancelling);
        binds.close().await;
        (reported, armed.has_fired()).into()
    }

    /// Cancels every statement on the server, from the point on, for a while.
    pub(crate) async fn cancelled_often(
        &self,
        case: &Case,
        text: &str,
        server: usize,
        time: Duration,
    ) -> Attempted {
        let tasks = TaskTracker::new();
        let operator = Once::new(Operator::connect(&self.site.urls[server]).await);
        let tracker = tasks.clone();
        let plan = case.plan(Effect::call(move |_| {
            let operator = operator.take();
            if let Some(mut operator) = operator {
                tracker.spawn(async move { operator.cancel_for(time).await });
            }
            sleep(MOMENT)
        }));
        let reported = self.commit(&plan, case, text).await;
        tasks.close();
        tasks.wait().await;
        (reported, self.has_fired(case, &plan)).into()
    }

    /// Ends all sessions on the server at the point.
    pub(crate) async fn sessions_killed(
        &self,
        case: &Case,
        text: &str,
        server: usize,
    ) -> Attempted {
        let operator = Once::new(Operator::connect(&self.site.urls[server]).await);
        let plan = case.plan(Effect::call(move |_| {
            let operator = operator.take();
            async {
                if let Some(mut operator) = operator {
                    operator.kill_sessions().await;
                }
            }
        }));
        let reported = self.commit(&plan, case, text).await;
        (reported, self.has_fired(case, &plan)).into()
    }

    /// Leads the address of the server to another one, from the point on. In the end it leads back.
    pub(crate) async fn elsewhere(
        &self,
        case: &Case,
        text: &str,
        server: usize,
        (other, cut): (Other, bool),
    ) -> Attempted {
        let database = &self.world.databases[server];
        let other = {
            let mut others = self.others.lock().await;
            others.url(other, self.server(server), database).await
        };
        let mut urls = self.site.urls.clone();
        let proxy = Arc::new(Proxy::start(&urls[server]).await);
        urls[server] = proxy.url(&urls[server]);
        let binds = self.site.binds::<S>(&urls, ELSEWHERE).await;
        let leading = Arc::clone(&proxy);
        let plan = case.plan(Effect::call(move |_| {
            let (proxy, other) = (Arc::clone(&leading), other.clone());
            async move {
                proxy.lead_to(&other).await;
                if cut {
                    proxy.cut();
                }
            }
        }));
        let reported = unit::run::<S>(&binds, &plan, case.shape, text).await;
        binds.close().await;
        (reported, self.has_fired(case, &plan)).into()
    }

    /// Takes the standby of the server away, from the point until the commit is over and another process has recovered
    /// once.
    pub(crate) async fn standby_away(
        &self,
        case: &Case,
        text: &str,
        server: usize,
        ended: bool,
    ) -> Attempted {
        let url = self.site.urls[server].clone();
        let (end, tasks) = (CancellationToken::new(), TaskTracker::new());
        let had: Arc<Mutex<Option<StandbyState>>> = Arc::default();
        let operator = Once::new(Operator::connect(&url).await);
        let plan = {
            let (url, had) = (url.clone(), Arc::clone(&had));
            let (ends, tracker) = (end.clone(), tasks.clone());
            case.plan(Effect::call(move |_| {
                let (url, had) = (url.clone(), Arc::clone(&had));
                let operator = operator.take().filter(|_| ended);
                let (ends, tracker) = (ends.clone(), tracker.clone());
                async move {
                    let left = away::leaves(&url).await;
                    *had.lock().unwrap_or_else(PoisonError::into_inner) = Some(left);
                    if let Some(operator) = operator {
                        tracker.spawn(operator.end_waits(ends));
                    }
                }
            }))
        };
        let binds = self.site.binds::<S>(&self.site.urls, AWAY).await;
        let reported = unit::run::<S>(&binds, &plan, case.shape, text).await;
        binds.close().await;
        let had = had.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut attempted = Attempted::from((reported, self.has_fired(case, &plan)));
        if let Some(had) = had {
            self.recoverer.pass().await;
            let others = S::rows(&self.world).await;
            let writers = others
                .into_iter()
                .enumerate()
                .filter(|(index, _)| *index != server);
            let others: Vec<_> = writers.map(|(_, rows)| rows).collect();
            // If the unit only read there, it has nothing to lose.
            if case.writes(server) {
                attempted.meanwhile = had.judge(
                    &attempted.reported,
                    text,
                    &others,
                    (S::keys()[server], ended),
                );
            }
        }
        end.cancel();
        tasks.close();
        tasks.wait().await;
        away::returns(&url).await;
        attempted
    }

    /// Moves the horizon beyond the unit at the point. Another process recovers, and an operator forces the unit. In
    /// the end, an operator rolls back a unit that was forgotten.
    pub(crate) async fn forced(
        &self,
        case: &Case,
        text: &str,
        (point, outcome): (&Point, Outcome),
        snapshot: bool,
    ) -> Attempted {
        let binds = self.site.binds::<S>(&self.site.urls, PATIENT).await;
        let plan = Trouble::plan(case.first.as_ref());
        let mut options = SessionOptions::new().faults(&plan);
        if snapshot {
            options = options.isolation(Isolation::RepeatableRead);
        }
        let mut session = binds.with(options).session();
        let unit = session.unit();
        let forced: Arc<Mutex<Option<Outcome>>> = Arc::default();
        let plan = {
            let (recoverer, site) = (self.recoverer.clone(), self.site.clone());
            let forced = Arc::clone(&forced);
            plan.at_point(
                point.clone(),
                Effect::call(move |_| {
                    let (recoverer, site) = (recoverer.clone(), site.clone());
                    let forced = Arc::clone(&forced);
                    async move {
                        move_horizons(&site.urls, &site.namespace, Some(unit)).await;
                        recoverer.pass().await;
                        if recoverer.force(unit, outcome).await {
                            *forced.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
                        }
                    }
                }),
            )
        };
        let reported = unit::work::<S>(&mut session, case.shape, text).await;
        drop(session);
        binds.close().await;
        let mut forced = *forced.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..FORCES {
            // While connections of the unit are open, some of its branches may be out of reach.
            if self.recoverer.pass().await.is_none()
                || !self.recoverer.force(unit, Outcome::RolledBack).await
            {
                break;
            }
            forced = forced.or(Some(Outcome::RolledBack));
            sleep(Duration::from_millis(10)).await;
        }
        move_horizons(&self.site.urls, &self.site.namespace, None).await;
        Attempted {
            forced,
            ..Attempted::from(((unit, reported), self.has_fired(case, &plan)))
        }
    }
}

/// A value for the first call of a function that may be called again.
struct Once<T>(Mutex<Option<T>>);

impl<T> Once<T> {
    fn new(value: T) -> Self {
        Self(Mutex::new(Some(value)))
    }

    fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
