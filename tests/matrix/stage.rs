//! The databases of a topology, on which its cases happen.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash as _, Hasher as _};
use std::marker::PhantomData;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel_binds::UnitId;
use diesel_binds::testing::{Effect, FaultPlan};
use fastrand::Rng;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::case::{Case, Fault, Shape, Trouble};
use crate::history::History;
use crate::judge::{self, Unit, Verdict};
use crate::list::{self, Run};
use crate::network::{Damage, How, Message};
use crate::recoverer::Recoverer;
use crate::settings::{Attempt, Limits, Place};
use crate::suite::world::{Sides, World};
use crate::support::kill::{kill, restart};
use crate::support::proxy::Proxy;
use crate::support::servers::Server;
use crate::topology::Topology;
use crate::unit::{self, Heard, PATIENT};

/// What hangs is given up soon.
const HASTY: Limits = Limits {
    step: Duration::from_millis(500),
    resolve: Duration::from_secs(2),
};

/// No case hangs for ever.
const LONGEST: Duration = Duration::from_secs(120);

/// A unit, and what its caller heard.
type Told = (UnitId, Heard);

/// The databases, and the process that recovers them.
pub(crate) struct Stage<S> {
    place: Place,
    world: World,
    recoverer: Recoverer,
    history: History,
    cases: usize,
    sides: PhantomData<S>,
}

impl<S: Sides> Stage<S> {
    pub(crate) async fn set(topology: Topology) -> Self {
        let databases = S::databases().await;
        let place = Place {
            topology,
            namespace: format!("m{:08x}", fastrand::u32(..)),
            urls: databases.iter().map(|d| d.url().to_owned()).collect(),
        };
        let binds = place.binds::<S>(&place.urls, PATIENT).await;
        Self {
            recoverer: Recoverer::start(&place),
            world: World { binds, databases },
            place,
            history: History::default(),
            cases: 0,
            sides: PhantomData,
        }
    }

    /// All cases, found by running units.
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
        list::cases(self.place.topology, &runs, &S::keys(), is_server)
    }

    async fn rehearse(&mut self, shape: Shape, first: Option<Trouble>) -> Run {
        let plan = Trouble::plan(first.as_ref());
        let text = self.text();
        let binds = self.place.binds::<S>(&self.place.urls, PATIENT).await;
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
        let Ok(((id, heard), fired)) = attempt.await else {
            return Verdict {
                unrecovered: Some("it hangs".into()),
                ..Verdict::default()
            };
        };
        let unit = Unit {
            id,
            shape: case.shape,
            text: &text,
            heard: &heard,
            forgetful: match case.fault {
                Fault::Server { server, .. } if self.is_mysql(server) => Some(server),
                _ => None,
            },
        };
        let (world, namespace) = (&self.world, &self.place.namespace);
        let history = &mut self.history;
        Verdict {
            missed: !fired,
            ..judge::judge::<S>(world, namespace, &self.recoverer, history, unit).await
        }
    }

    /// The unit, what its caller heard, and whether the fault happened. All servers are up again.
    async fn attempt(&self, case: &Case, text: &str, random: &mut Rng) -> (Told, bool) {
        match &case.fault {
            Fault::Coordinator(point) => {
                let attempt = Attempt {
                    shape: case.shape,
                    text: text.to_owned(),
                    first: case.first.clone(),
                    point: point.to_string(),
                };
                self.dying(attempt).await
            }
            Fault::Server { server, .. } => {
                let crash = Crash::default();
                let plan = case.plan(crash.effect(self.server(*server), pause(random)));
                let heard = self.commit(&plan, case, text).await;
                crash.is_over().await;
                (heard, self.has_fired(case, &plan))
            }
            Fault::Recovered(_) => {
                let recoverer = self.recoverer.clone();
                let plan = case.plan(Effect::call(move |_| {
                    let recoverer = recoverer.clone();
                    async move {
                        recoverer.pass().await;
                    }
                }));
                let heard = self.commit(&plan, case, text).await;
                (heard, self.has_fired(case, &plan))
            }
            Fault::Slow(_) => {
                let plan = case.plan(self.keep_on(pause(random)));
                let heard = self.commit(&plan, case, text).await;
                self.recoverer.stop().await;
                (heard, self.has_fired(case, &plan))
            }
            Fault::Network {
                server,
                message,
                damage,
            } => {
                let plan = Trouble::plan(case.first.as_ref());
                let late = pause(random);
                self.disturbed(case, text, &plan, (*server, *message, *damage), late)
                    .await
            }
            Fault::Late {
                server,
                message,
                reply,
                ..
            } => {
                let damage = Damage {
                    how: How::Delay,
                    reply: *reply,
                };
                let plan = case.plan(self.keep_on(Duration::ZERO));
                let late = pause(random);
                let heard = self
                    .disturbed(case, text, &plan, (*server, *message, damage), late)
                    .await;
                self.recoverer.stop().await;
                heard
            }
        }
    }

    /// From now on the other process recovers all the time; the commit goes on after a while.
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

    /// A process of its own commits, and is killed.
    async fn dying(&self, attempt: Attempt) -> (Told, bool) {
        let mut process = self.place.coordinator(&attempt);
        let running = tokio::task::spawn_blocking(move || process.output());
        let output = running
            .await
            .expect("waiting does not panic")
            .expect("this program can be started again");
        let killed = output.status.signal() == Some(9);
        let said = String::from_utf8_lossy(&output.stdout);
        let (unit, heard) = said.split_once('\n').expect("it begins");
        let heard = match heard.trim().parse() {
            Ok(heard) => heard,
            Err(_) if killed => Heard::Nothing,
            Err(error) => Heard::Unexpected(format!("{} {error}", output.status)),
        };
        let unit = unit.parse().expect("it says first which unit it is");
        ((unit, heard), killed)
    }

    async fn commit(&self, plan: &FaultPlan, case: &Case, text: &str) -> Told {
        let binds = self.place.binds::<S>(&self.place.urls, PATIENT).await;
        let heard = unit::run::<S>(&binds, plan, case.shape, text).await;
        binds.close().await;
        heard
    }

    /// Commits through a proxy.
    async fn disturbed(
        &self,
        case: &Case,
        text: &str,
        plan: &FaultPlan,
        (server, message, damage): (usize, Message, Damage),
        late: Duration,
    ) -> (Told, bool) {
        let mut urls = self.place.urls.clone();
        let proxy = Proxy::start(&urls[server]).await;
        let mysql = self.is_mysql(server);
        urls[server] = proxy.url(&urls[server]);
        let limits = if damage.how == How::Hang {
            HASTY
        } else {
            PATIENT
        };
        let binds = self.place.binds::<S>(&urls, limits).await;
        proxy.inject(damage.fault(message, mysql, late));
        let heard = unit::run::<S>(&binds, plan, case.shape, text).await;
        binds.close().await;
        (heard, !proxy.disarm())
    }

    fn has_fired(&self, case: &Case, plan: &FaultPlan) -> bool {
        plan.fired().len() == 1 + usize::from(case.first.is_some())
    }

    fn is_mysql(&self, index: usize) -> bool {
        self.place.urls[index].starts_with("mysql")
    }

    fn server(&self, index: usize) -> Server {
        match S::keys()[index] {
            "pg-a" => Server::PostgresA,
            "pg-b" => Server::PostgresB,
            "my-a" => Server::MariadbA,
            "my-b" => Server::MariadbB,
            other => panic!("{other} is no server"),
        }
    }

    /// A text that no row has.
    fn text(&mut self) -> String {
        self.cases += 1;
        format!("case {}", self.cases)
    }
}

/// A server that is killed at a point, and comes back.
#[derive(Clone, Default)]
struct Crash(Arc<Mutex<Option<JoinHandle<()>>>>);

impl Crash {
    /// Kills it; the commit goes on while it is away, and is started again.
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

/// Random numbers of a case, whatever other cases run.
fn random(case: &Case, seed: u64) -> Rng {
    let mut hasher = rustc_hash::FxHasher::default();
    case.to_string().hash(&mut hasher);
    Rng::with_seed(seed ^ hasher.finish())
}

/// Long enough for others to act, and short enough for many cases.
fn pause(random: &mut Rng) -> Duration {
    Duration::from_millis(random.u64(5..150))
}
