//! The settings of a run, and their transfer from the director to its children.

use std::env;
use std::process::{Command, Stdio};
use std::time::Duration;

use diesel_binds::{BindOptions, Binds, RecoveryOptions};
use kit::harness::number;
use kit::side::PoolKind;
use kit::world::Sides;

use crate::case::{Shape, Trouble};
use crate::topology::Topology;

const ROLE: &str = "DIESEL_BINDS_MATRIX_ROLE";
const TOPOLOGY: &str = "DIESEL_BINDS_MATRIX_TOPOLOGY";
const NAMESPACE: &str = "DIESEL_BINDS_MATRIX_NAMESPACE";
const URLS: &str = "DIESEL_BINDS_MATRIX_URLS";
const SHAPE: &str = "DIESEL_BINDS_MATRIX_SHAPE";
const TEXT: &str = "DIESEL_BINDS_MATRIX_TEXT";
const FIRST: &str = "DIESEL_BINDS_MATRIX_FIRST";
const POINT: &str = "DIESEL_BINDS_MATRIX_POINT";
const SEED: &str = "DIESEL_BINDS_MATRIX_SEED";
const SLICE: &str = "DIESEL_BINDS_MATRIX_SLICE";
const TOPOLOGIES: &str = "DIESEL_BINDS_MATRIX_TOPOLOGIES";
const ONLY: &str = "DIESEL_BINDS_MATRIX_ONLY";
const MYSQL: &str = "DIESEL_BINDS_MATRIX_MYSQL";

/// The number of cases of a run under `cargo test`.
const SLICE_OF_CI: u64 = 84;

/// The selection of cases.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The seed of the random numbers: of the selection, and of pauses.
    pub(crate) seed: u64,
    /// The number of cases; all if `None`.
    pub(crate) slice: Option<usize>,
    pub(crate) topologies: Vec<Topology>,
    /// Only cases with this text in their name.
    pub(crate) only: Option<String>,
}

/// The role of this process.
pub(crate) enum Role {
    Director,
    /// Commits one unit, and is killed during it.
    Coordinator(Site, Attempt),
    /// Recovers the branches that the others left.
    Recoverer(Site),
}

/// The databases of a topology, and their URLs.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) topology: Topology,
    pub(crate) namespace: String,
    pub(crate) urls: Vec<String>,
}

/// A unit of a coordinator that is killed.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) shape: Shape,
    pub(crate) text: String,
    pub(crate) first: Option<Trouble>,
    /// The point at which it is killed.
    pub(crate) point: String,
}

/// The longest time of a step, and of the questions to a holder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) step: Duration,
    pub(crate) resolve: Duration,
}

impl Settings {
    pub(crate) fn from_environment() -> Self {
        let slice = number(SLICE).unwrap_or(SLICE_OF_CI);
        let topologies = env::var(TOPOLOGIES).ok().map(|names| {
            let parse = |name: &str| name.parse().unwrap_or_else(|error| panic!("{error}"));
            names.lines().map(parse).collect()
        });
        Self {
            seed: number(SEED).unwrap_or_else(|| fastrand::u64(..)),
            slice: (slice > 0).then(|| usize::try_from(slice).expect("it fits")),
            topologies: topologies.unwrap_or_else(|| match env::var_os(MYSQL) {
                Some(_) => Topology::OF_MYSQL.to_vec(),
                None => Topology::ALL.to_vec(),
            }),
            only: env::var(ONLY).ok(),
        }
    }
}

impl Role {
    pub(crate) fn of_this_process() -> Self {
        let read = |variable| env::var(variable).expect("the director sets it");
        let site = || Site {
            topology: read(TOPOLOGY).parse().expect("the director names one"),
            namespace: read(NAMESPACE),
            urls: read(URLS).lines().map(str::to_owned).collect(),
        };
        match env::var(ROLE).as_deref() {
            Ok("coordinator") => Self::Coordinator(
                site(),
                Attempt {
                    shape: read(SHAPE).parse().expect("the director names one"),
                    text: read(TEXT),
                    first: env::var(FIRST).ok().map(|first| {
                        let first: Trouble = first.parse().expect("the director names one");
                        first
                    }),
                    point: read(POINT),
                },
            ),
            Ok("recoverer") => Self::Recoverer(site()),
            _ => Self::Director,
        }
    }
}

impl Site {
    /// Returns this program as a coordinator.
    pub(crate) fn coordinator(&self, attempt: &Attempt) -> Command {
        let mut command = self.child("coordinator");
        command
            .env(SHAPE, attempt.shape.to_string())
            .env(TEXT, &attempt.text)
            .env(POINT, &attempt.point)
            .stdin(Stdio::null());
        if let Some(first) = &attempt.first {
            command.env(FIRST, first.to_string());
        }
        command
    }

    /// Returns this program as a recovering process.
    pub(crate) fn recoverer(&self) -> Command {
        let mut command = self.child("recoverer");
        command.stdin(Stdio::piped());
        command
    }

    /// Returns the binds at these URLs, which may lead through proxies.
    pub(crate) async fn binds<S: Sides>(&self, urls: &[String], limits: Limits) -> Binds {
        let builder = Binds::builder()
            .namespace(&self.namespace)
            // A process of its own recovers on command.
            .recovery(RecoveryOptions::new().without_worker())
            .step_timeout(limits.step)
            .resolve_timeout(limits.resolve);
        S::register(builder, urls, PoolKind::Deadpool, &BindOptions::new())
            .await
            .build()
            .expect("the binds are in order")
    }

    fn child(&self, role: &str) -> Command {
        let mut command = Command::new(env::current_exe().expect("this program has a path"));
        command
            .env(ROLE, role)
            .env(TOPOLOGY, self.topology.to_string())
            .env(NAMESPACE, &self.namespace)
            .env(URLS, self.urls.join("\n"))
            .stdout(Stdio::piped());
        command
    }
}
