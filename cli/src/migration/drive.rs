//! Runs `diesel` for several binds, one after the other, and reports each as done, failed or not begun.

use std::time::Duration;

use diesel_binds::config::ManifestBind;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::arguments::Format;
use crate::diesel_cli::{Diesel, Line};
use crate::exit::Exit;
use crate::migration::branches::{named, watching};
use crate::project::{Address, Project};

/// The work for one bind.
pub(crate) struct Job<'p> {
    pub(crate) bind: &'p ManifestBind,
    /// The URL, for commands that need a database.
    pub(crate) address: Option<Address>,
    /// The arguments of `diesel`, one list for each time that it runs.
    pub(crate) commands: Vec<Vec<String>>,
    /// The reason why the job cannot run, if it is known before.
    pub(crate) obstacle: Option<String>,
}

/// The treatment of the other binds after one has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterFailure {
    /// Does not begin them: their migrations may need the ones that failed.
    Stop,
    /// Goes on with them: the command changes nothing.
    GoOn,
}

/// The outcome of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Failed(String),
    NotBegun,
}

/// A bind, its outcome, and the standard output of `diesel`.
pub(crate) struct Driven<'p> {
    pub(crate) bind: &'p ManifestBind,
    pub(crate) outcome: Outcome,
    pub(crate) said: Vec<String>,
}

/// The form in which a run is shown while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// Each bind with its lines under it.
    Lines,
    /// The output of `diesel` unchanged, for a file or a pipe. With several binds, a Rust comment names each.
    Raw,
    /// Nothing.
    Nothing,
}

/// Runs the jobs in order. `ready` is called right before each job, because an earlier job may change its answer.
pub(crate) async fn drive<'p>(
    project: &Project,
    diesel: &Diesel,
    jobs: Vec<Job<'p>>,
    after_failure: AfterFailure,
    show: Show,
    ready: impl AsyncFn(&ManifestBind) -> Result<(), String>,
) -> Vec<Driven<'p>> {
    let several = jobs.len() > 1;
    let bar = bar(jobs.len());
    let mut stopped = false;
    let mut driven = Vec::new();
    for job in jobs {
        let bind = job.bind;
        if stopped {
            let (outcome, said) = (Outcome::NotBegun, Vec::new());
            driven.push(Driven {
                bind,
                outcome,
                said,
            });
            continue;
        }
        bar.set_message(bind.key().to_owned());
        // Draws even if the job before ended too fast for a redraw.
        bar.force_draw();
        bar.suspend(|| match show {
            Show::Lines => println!("{}:", bind.key()),
            Show::Raw if several => println!("// {}", bind.key()),
            _ => {}
        });
        let mut said = Vec::new();
        let outcome = match &job.obstacle {
            Some(obstacle) => Outcome::Failed(obstacle.clone()),
            None => match ready(bind).await {
                Ok(()) => {
                    let running = run(project, diesel, &job, |line| {
                        bar.suspend(|| print(&line, show));
                        if let Line::Out(line) = line {
                            said.push(line);
                        }
                    });
                    let warn = |branches: &[String]| {
                        bar.suspend(|| {
                            eprintln!("warning: {}: {}", bind.key(), named("may wait", branches));
                        });
                    };
                    match watching(bind, job.address.as_ref(), running, warn).await {
                        (Outcome::Failed(why), branches) if !branches.is_empty() => {
                            Outcome::Failed(format!(
                                "{why}; {}",
                                named("may have waited", &branches)
                            ))
                        }
                        (outcome, _) => outcome,
                    }
                }
                Err(obstacle) => Outcome::Failed(obstacle),
            },
        };
        if let Outcome::Failed(why) = &outcome {
            bar.suspend(|| eprintln!("error: {}: {why}", bind.key()));
            stopped = after_failure == AfterFailure::Stop;
        }
        bar.inc(1);
        driven.push(Driven {
            bind,
            outcome,
            said,
        });
    }
    bar.finish_and_clear();
    driven
}

/// Prints the outcome of all binds as JSON, or as text if there are several and not all are done.
pub(crate) fn summary(driven: &[Driven<'_>], format: Format) -> Exit {
    let well = driven.iter().all(|one| one.outcome == Outcome::Done);
    match format {
        Format::Text if driven.len() > 1 && !well => {
            for (title, keys) in [
                ("done", keys(driven, |outcome| *outcome == Outcome::Done)),
                (
                    "failed",
                    keys(driven, |outcome| matches!(outcome, Outcome::Failed(_))),
                ),
                (
                    "not begun",
                    keys(driven, |outcome| *outcome == Outcome::NotBegun),
                ),
            ] {
                eprintln!("{title}: {keys}");
            }
        }
        Format::Text => {}
        Format::Json => {
            let binds = driven.iter().map(|one| {
                let (outcome, message) = match &one.outcome {
                    Outcome::Done => ("done", None),
                    Outcome::Failed(why) => ("failed", Some(why)),
                    Outcome::NotBegun => ("not begun", None),
                };
                json!({
                    "bind": one.bind.key(),
                    "outcome": outcome,
                    "message": message,
                    "output": one.said,
                })
            });
            println!("{:#}", json!({ "binds": binds.collect::<Vec<_>>() }));
        }
    }
    Exit::success_if(well)
}

fn keys(driven: &[Driven<'_>], is: impl Fn(&Outcome) -> bool) -> String {
    let keys: Vec<_> = driven
        .iter()
        .filter(|one| is(&one.outcome))
        .map(|one| one.bind.key())
        .collect();
    if keys.is_empty() {
        "none".to_owned()
    } else {
        keys.join(", ")
    }
}

async fn run(
    project: &Project,
    diesel: &Diesel,
    job: &Job<'_>,
    mut on_line: impl FnMut(Line),
) -> Outcome {
    for arguments in &job.commands {
        let ran = diesel.run(
            &project.manifest,
            job.bind,
            job.address.as_ref(),
            arguments,
            &mut on_line,
        );
        if let Err(failed) = ran.await {
            return Outcome::Failed(failed.to_string());
        }
    }
    Outcome::Done
}

fn print(line: &Line, show: Show) {
    match (line, show) {
        (Line::Out(line), Show::Lines) => println!("  {line}"),
        (Line::Out(line), Show::Raw) => println!("{line}"),
        (Line::Out(_), Show::Nothing) => {}
        (Line::Err(line), _) => eprintln!("  {line}"),
    }
}

/// Returns a progress bar on the standard error, if that is a terminal. With one bind there is nothing to count.
fn bar(binds: usize) -> ProgressBar {
    if binds < 2 {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(binds as u64), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("[{bar:20}] {pos}/{len} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
