//! The process that recovers, and its commands.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel_binds::error::Fault;
use diesel_binds::recovery::Outcome;
use diesel_binds::{Binds, UnitId};
use kit::world::Sides;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::settings::{Limits, Site};

/// Short limits: a holder that is down is asked again by the next pass.
const HASTY: Limits = Limits {
    step: Duration::from_secs(5),
    resolve: Duration::from_millis(500),
};

/// The pause between two passes of [`keep_on`](Recoverer::keep_on).
const PAUSE: Duration = Duration::from_millis(2);

/// The answer of a holder about a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolved {
    As(Outcome),
    /// An operator has decided in the place of the holder.
    Forced,
}

/// The recovering process, for the director. Ends with the last clone of this value.
#[derive(Clone)]
pub(crate) struct Recoverer(Arc<Mutex<Process>>);

struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Recoverer {
    pub(crate) fn start(site: &Site) -> Self {
        let mut child = site
            .recoverer()
            .spawn()
            .expect("this program can be started again");
        let output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let input = child.stdin.take();
        Self(Arc::new(Mutex::new(Process {
            child,
            input,
            output,
        })))
    }

    /// Recovers units of any age once. Returns the report if something is left.
    pub(crate) async fn pass(&self) -> Option<String> {
        let answer = self.ask("pass".into()).await;
        (answer != "complete").then_some(answer)
    }

    /// Recovers again and again until the next command.
    pub(crate) async fn keep_on(&self) {
        self.ask("keep-on".into()).await;
    }

    /// Ends [`keep_on`](Self::keep_on).
    pub(crate) async fn stop(&self) {
        self.ask("stop".into()).await;
    }

    /// Returns the outcome of a unit in doubt.
    pub(crate) async fn resolve(&self, gid: &str) -> Result<Resolved, String> {
        match self.ask(format!("resolve {gid}")).await.as_str() {
            "commit" => Ok(Resolved::As(Outcome::Committed)),
            "abort" => Ok(Resolved::As(Outcome::RolledBack)),
            "forced" => Ok(Resolved::Forced),
            error => Err(error.to_owned()),
        }
    }

    /// Forces a unit, as an operator does. Returns whether the force was accepted.
    pub(crate) async fn force(&self, unit: UnitId, outcome: Outcome) -> bool {
        let verb = match outcome {
            Outcome::Committed => "force-commit",
            Outcome::RolledBack => "force-abort",
        };
        self.ask(format!("{verb} {unit}")).await == "forced"
    }

    async fn ask(&self, question: String) -> String {
        let process = Arc::clone(&self.0);
        let asking = tokio::task::spawn_blocking(move || {
            let mut process = process.lock().unwrap_or_else(PoisonError::into_inner);
            let mut answer = String::new();
            let input = process.input.as_mut().expect("it is taken in the end");
            writeln!(input, "{question}").expect("the recoverer listens");
            process
                .output
                .read_line(&mut answer)
                .expect("the recoverer answers");
            answer.trim_end().to_owned()
        });
        asking.await.expect("asking does not panic")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The end of its input ends the process.
        self.input = None;
        let _ = self.child.wait();
    }
}

/// Executes the commands of its input until the end.
pub(crate) async fn recover<S: Sides>(site: &Site) {
    let binds = site.binds::<S>(&site.urls, HASTY).await;
    let mut commands = commands();
    while let Some(command) = commands.recv().await {
        if command != "keep-on" {
            println!("{}", obey(&binds, &command).await);
            continue;
        }
        println!("on it");
        loop {
            match commands.try_recv() {
                Err(TryRecvError::Empty) => {
                    let _ = binds.recovery().run_older_than(Duration::ZERO).await;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(TryRecvError::Disconnected) => return,
                Ok(command) => {
                    println!("{}", obey(&binds, &command).await);
                    break;
                }
            }
        }
    }
}

async fn obey(binds: &Binds, command: &str) -> String {
    match command.split_once(' ') {
        Some(("resolve", gid)) => {
            let gid = gid.parse().expect("the director gives a gid");
            match binds.recovery().resolve(&gid).await {
                Ok(Outcome::Committed) => "commit".into(),
                Ok(Outcome::RolledBack) => "abort".into(),
                Err(error) if matches!(error.source, Fault::Forced) => "forced".into(),
                Err(error) => format!("{error:?}").replace('\n', " "),
            }
        }
        Some(("force-commit", unit)) => force(binds, unit, Outcome::Committed).await,
        Some(("force-abort", unit)) => force(binds, unit, Outcome::RolledBack).await,
        _ if command == "pass" => {
            let pass = binds.recovery().run_older_than(Duration::ZERO).await;
            if pass.is_complete() {
                "complete".into()
            } else {
                pass.to_string().trim_end().replace('\n', "; ")
            }
        }
        _ => "done".into(),
    }
}

/// Forces a unit that has a listed branch.
async fn force(binds: &Binds, unit: &str, outcome: Outcome) -> String {
    let in_doubt = binds.recovery().in_doubt().await.in_doubt;
    let mut gids = in_doubt.into_iter().filter_map(|branch| branch.gid);
    let Some(gid) = gids.find(|gid| gid.unit().to_string() == unit) else {
        return "nothing is listed".into();
    };
    match binds.recovery().force(&gid, outcome, "the matrix").await {
        // The outcome is recorded, and the next call finishes the rest.
        Ok(_) => "forced".into(),
        Err(error) => format!("{error:?}").replace('\n', " "),
    }
}

/// Returns the commands of the director, line by line.
fn commands() -> UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
