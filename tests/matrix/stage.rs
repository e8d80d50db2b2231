//! The databases of a topology, on which its cases run.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash as _, Hasher as _};
use std::marker::PhantomData;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel_binds::UnitId;
use diesel_binds::recovery::Outcome;
use diesel_binds::testing::{Effect, FaultPlan, Point};
use fastrand::Rng;
use kit::kill::{kill, restart};
use kit::servers::Server;
use kit::world::{Sides, World};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::armed::Armed;
use crate::away;
use crate::case::{Case, Fault, Shape, Trouble};
use crate::elsewhere::Others;
use crate::history::History;
use crate::judge::{self, Unit, Verdict};
use crate::list::{self, Run};
use crate::network::{Damage, How, Message};
use crate::recoverer::Recoverer;
use crate::settings::{Attempt, Limits, Site};
use crate::topology::Topology;
use crate::unit::{self, CommitReport, PATIENT};

/// Short limits for a step that hangs.
const HASTY: Limits = Limits {
    step: Duration::from_millis(500),
    resolve: Duration::from_secs(2),
};

/// The longest time of a case.
const LONGEST: Duration = Duration::from_secs(120);

/// A unit and the result for its caller.
pub(crate) type UnitReport = (UnitId, CommitReport);

/// The result of a case before it is judged.
pub(crate) struct Attempted {
    pub(crate) reported: UnitReport,
    /// True if the fault happened.
    pub(crate) fired: bool,
    /// The problem that was seen in the meantime.
    pub(crate) meanwhile: Option<String>,
    /// The outcome that an operator forced successfully.
    pub(crate) forced: Option<Outcome>,
}

impl From<(UnitReport, bool)> for Attempted {
    fn from((reported, fired): (UnitReport, bool)) -> Self {
        Self {
            reported,
            fired,
            meanwhile: None,
            forced: None,
        }
    }
}

/// The databases, and the process that recovers them.
pub(crate) struct Stage<S> {
    pub(crate) site: Site,
    pub(crate) world: World,
    pub(crate) recoverer: Recoverer,
    /// The other databases to which addresses may lead.
    pub(crate) others: tokio::sync::Mutex<Others>,
    history: History,
    cases: usize,
    sides: PhantomData<S>,
}

impl<S: Sides> Stage<S> {
    pub(crate) async fn set(topology: Topology) -> Self {
        let databases = S::databases().await;
        let site = Site {
            topology,
            namespace: format!("m{:08x}", fastrand::u32(..)),
            urls: databases.iter().map(|d| d.url().to_owned()).collect(),
        };
        let binds = site.binds::<S>(&site.urls, PATIENT).await;
        Self {
            others: tokio::sync::Mutex::default(),
            recoverer: Recoverer::start(&site),
            world: World { binds, databases },
            site,
            history: History::default(),
            cases: 0,
            sides: PhantomData,
        }
    }

    /// Finds all cases by running units.
    pub(crate) async fn cases(&mut self) -> Vec<Case> {
        let mut runs = Vec::new();
        for shape in [Shape::Write, Shape::Read] {
            let undisturbed = self.rehearse(shape, None).await;
            let troubles = list::troubles(&undisturbed.passed);
            let mut seen: HashMap<Vec<String>, ()> = HashMap::new();
            runs.push(undisturbed.clone());
            for first in troubles {
                let run = self.rehearse(shape, Some(first)).await;
                let further: BTreeSet<_> = run.passed.difference(&undisturbed.passed).collect();
                let further = further.iter().map(ToString::to_string).collect();
                if let Entry::Vacant(new) = seen.entry(further) {
                    new.insert(());
                    runs.push(run);
                }
            }
        }
        let databases = &self.world.databases;
        let is_server = |index: usize| databases[index].name().is_some();
        list::cases(self.site.topology, &runs, &S::keys(), is_server)
    }

    async fn rehearse(&mut self, shape: Shape, first: Option<Trouble>) -> Run {
        let plan = Trouble::plan(first.as_ref());
        let text = self.text();
        let binds = self.site.binds::<S>(&self.site.urls, PATIENT).await;
        let (unit, _) = unit::run::<S>(&binds, &plan, shape, &text).await;
        binds.close().await;
        while self.recoverer.pass().await.is_some() {
            sleep(Duration::from_millis(10)).await;
        }
        let rows = S::rows(&self.world).await;
        self.history.note(unit, &text, &rows);
        Run::of(shape, first, &plan)
    }

    /// Runs a case and judges it.
    pub(crate) async fn run(&mut self, case: &Case, seed: u64) -> Verdict {
        let mut random = random(case, seed);
        let text = self.text();
        let attempt = timeout(LONGEST, self.attempt(case, &text, &mut random));
        let Ok(attempted) = attempt.await else {
            self.bring_standbys_back().await;
            return Verdict {
                unrecovered: Some("it hangs".into()),
                ..Verdict::default()
            };
        };
        let (id, reported) = attempted.reported;
        let unit = Unit {
            id,
            shape: case.shape,
            text: &text,
            reported: &reported,
            forgetful: match case.fault {
                Fault::Server { server, .. } if S::keys()[server].starts_with("my-") => {
                    Some(server)
                }
                _ => None,
            },
            forced: attempted.forced,
        };
        let (world, namespace) = (&self.world, &self.site.namespace);
        let history = &mut self.history;
        let word = reported.word();
        let verdict = judge::judge::<S>(world, namespace, &self.recoverer, history, unit).await;
        Verdict {
            missed: !attempted.fired,
            reported: word,
            lie: verdict.lie.or(attempted.meanwhile),
            ..verdict
        }
    }

    /// Drops the databases of the cases.
    pub(crate) async fn strike(self) {
        self.others.into_inner().drop().await;
    }

    async fn bring_standbys_back(&self) {
        for url in &self.site.urls {
            if url.starts_with("postgres") {
                away::returns(url).await;
            }
        }
    }

    /// Runs a unit with its faults. Returns the unit, its result, and whether the fault happened. All servers are up
    /// again afterwards.
    async fn attempt(&self, case: &Case, text: &str, random: &mut Rng) -> Attempted {
        match &case.fault {
            Fault::Coordinator(point) => {
                let attempt = Attempt {
                    shape: case.shape,
                    text: text.to_owned(),
                    first: case.first.clone(),
                    point: point.to_string(),
                };
                self.dying(attempt).await.into()
            }
            Fault::Server { server, .. } => {
                let crash = Crash::default();
                let plan = case.plan(crash.effect(self.server(*server), pause(random)));
                let reported = self.commit(&plan, case, text).await;
                crash.is_over().await;
                (reported, self.has_fired(case, &plan)).into()
            }
            Fault::Recovered(_) => {
                let recoverer = self.recoverer.clone();
                let plan = case.plan(Effect::call(move |_| {
                    let recoverer = recoverer.clone();
                    async move {
                        recoverer.pass().await;
                    }
                }));
                let reported = self.commit(&plan, case, text).await;
                (reported, self.has_fired(case, &plan)).into()
            }
            Fault::Slow(_) => {
                let plan = case.plan(self.keep_on(pause(random)));
                let reported = self.commit(&plan, case, text).await;
                self.recoverer.stop().await;
                (reported, self.has_fired(case, &plan)).into()
            }
            Fault::Network {
                server,
                message,
                damage,
            } => {
                let late = pause(random);
                self.disturbed(case, text, None, (*server, *message, *damage), late)
                    .await
                    .into()
            }
            Fault::Late {
                point,
                server,
                message,
                reply,
            } => {
                let damage = Damage {
                    how: How::Delay,
                    reply: *reply,
                };
                let keep_on = Some((point, self.keep_on(Duration::ZERO)));
                let late = pause(random);
                let reported = self
                    .disturbed(case, text, keep_on, (*server, *message, damage), late)
                    .await;
                self.recoverer.stop().await;
                reported.into()
            }
            Fault::Cancelled { server, message } => {
                self.cancelled(case, text, (*server, *message), pause(random) / 6)
                    .await
            }
            Fault::CancelledOften { server, .. } => {
                self.cancelled_often(case, text, *server, pause(random))
                    .await
            }
            Fault::SessionsKilled { server, .. } => self.sessions_killed(case, text, *server).await,
            Fault::Elsewhere {
                server, other, cut, ..
            } => self.elsewhere(case, text, *server, (*other, *cut)).await,
            Fault::Away { server, ended, .. } => {
                self.standby_away(case, text, *server, *ended).await
            }
            Fault::Forced {
                point,
                outcome,
                snapshot,
            } => self.forced(case, text, (point, *outcome), *snapshot).await,
        }
    }

    /// Makes the other process recover all the time from now on. The commit continues after a while.
    fn keep_on(&self, pause: Duration) -> Effect {
        let recoverer = self.recoverer.clone();
        Effect::call(move |_| {
            let recoverer = recoverer.clone();
            async move {
                recoverer.keep_on().await;
                sleep(pause).await;
            }
        })
    }

    /// Commits in a process of its own, which is killed.
    async fn dying(&self, attempt: Attempt) -> (UnitReport, bool) {
        let mut process = self.site.coordinator(&attempt);
        let running = tokio::task::spawn_blocking(move || process.output());
        let output = running
            .await
            .expect("waiting does not panic")
            .expect("this program can be started again");
        let killed = output.status.signal() == Some(9);
        let said = String::from_utf8_lossy(&output.stdout);
        let (unit, reported) = said.split_once('\n').expect("it begins");
        let reported = match reported.trim().parse() {
            Ok(reported) => reported,
            Err(_) if killed => CommitReport::Nothing,
            Err(error) => CommitReport::Unexpected(format!("{} {error}", output.status)),
        };
        let unit = unit.parse().expect("it says first which unit it is");
        ((unit, reported), killed)
    }

    pub(crate) async fn commit(&self, plan: &FaultPlan, case: &Case, text: &str) -> UnitReport {
        let binds = self.site.binds::<S>(&self.site.urls, PATIENT).await;
        let reported = unit::run::<S>(&binds, plan, case.shape, text).await;
        binds.close().await;
        reported
    }

    /// Commits through a proxy, with an effect at a point.
    async fn disturbed(
        &self,
        case: &Case,
        text: &str,
        effect: Option<(&Point, Effect)>,
        (server, message, damage): (usize, Message, Damage),
        late: Duration,
    ) -> (UnitReport, bool) {
        let mut urls = self.site.urls.clone();
        let fault = damage.fault(message, self.is_mysql(server), late);
        let armed = Armed::new(case, message, fault, &urls[server]).await;
        let plan = match effect {
            Some((point, effect)) => armed.plan.clone().at_point(point.clone(), effect),
            None => armed.plan.clone(),
        };
        urls[server] = armed.proxy.url(&urls[server]);
        let limits = if damage.how == How::Hang {
            HASTY
        } else {
            PATIENT
        };
        let binds = self.site.binds::<S>(&urls, limits).await;
        let reported = unit::run::<S>(&binds, &plan, case.shape, text).await;
        binds.close().await;
        (reported, armed.has_fired())
    }

    pub(crate) fn has_fired(&self, case: &Case, plan: &FaultPlan) -> bool {
        plan.fired().len() == 1 + usize::from(case.first.is_some())
    }

    pub(crate) fn is_mysql(&self, index: usize) -> bool {
        self.site.urls[index].starts_with("mysql")
    }

    pub(crate) fn server(&self, index: usize) -> Server {
        match S::keys()[index] {
            "pg-a" => Server::PostgresA,
            "pg-b" => Server::PostgresB,
            "my-a" => Server::MariadbA,
            "my-b" => Server::MariadbB,
            "mysql-a" => Server::MysqlA,
            "mysql-b" => Server::MysqlB,
            other => panic!("{other} is no server"),
        }
    }

    /// Returns a text that no row has.
    fn text(&mut self) -> String {
        self.cases += 1;
        format!("case {}", self.cases)
    }
}

/// A server that is killed at a point, and restarted.
#[derive(Clone, Default)]
struct Crash(Arc<Mutex<Option<JoinHandle<()>>>>);

impl Crash {
    /// Kills the server. The commit continues meanwhile, and the server is started again.
    fn effect(&self, server: Server, away: Duration) -> Effect {
        let crash = self.clone();
        Effect::call(move |_| {
            let crash = crash.clone();
            async move {
                kill(server).await;
                let back = tokio::spawn(async move {
                    sleep(away).await;
                    restart(server).await;
                });
                *crash.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(back);
            }
        })
    }

    async fn is_over(&self) {
        let back = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(back) = back {
            back.await.expect("the server comes back");
        }
    }
}

/// Returns the random numbers of a case, which do not depend on the other cases.
fn random(case: &Case, seed: u64) -> Rng {
    let mut hasher = rustc_hash::FxHasher::default();
    case.to_string().hash(&mut hasher);
    Rng::with_seed(seed ^ hasher.finish())
}

/// Returns a pause that is long enough for other processes to act, and short enough for many cases.
fn pause(random: &mut Rng) -> Duration {
    Duration::from_millis(random.u64(5..150))
}
