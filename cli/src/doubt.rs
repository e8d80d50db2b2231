//! The commands `in-doubt` and `recover`: list and finish units that are prepared and unfinished.

use std::time::Duration;

use diesel_binds::build::BuildProblem;
use diesel_binds::recovery::{ForceOptions, Outcome, RecoveryReport};
use diesel_binds::{Binds, Gid};
use serde_json::{Value, json};

use crate::arguments::{Forced, Format};
use crate::exit::{Exit, Refusal, chain};
use crate::project::{Project, Reachable};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The number of times that `resolve` looks: recovery leaves a unit for three seconds to the process that is committing
/// it.
const LOOKS: u32 = 8;
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) async fn list(project: &Project, format: Format) -> Result<Exit, Refusal> {
    let (binds, problems) = binds(project)?;
    let recovery = binds.recovery().in_doubt().await;
    print(&recovery, &problems, format, "nothing is in doubt");
    Ok(exit(&recovery, &problems))
}

pub(crate) async fn recover(
    project: &Project,
    retention: Option<u32>,
    format: Format,
) -> Result<Exit, Refusal> {
    let retention = retention.map_or(Duration::MAX, |days| DAY * days);
    let (binds, problems) = usable(project.reachable_keeping(retention))?;
    let recovery = binds.recovery().run().await;
    print(&recovery, &problems, format, "nothing is left");
    Ok(exit(&recovery, &problems))
}

pub(crate) async fn resolve(
    project: &Project,
    name: &str,
    format: Format,
) -> Result<Exit, Refusal> {
    let gid = parse(project, name)?;
    let (binds, problems) = binds(project)?;
    let outcome = match binds.recovery().resolve(&gid).await {
        Ok(outcome) => outcome,
        Err(error) => {
            eprintln!("error: {}", chain(&error));
            return Ok(Exit::Findings);
        }
    };
    // The outcome cannot change any more. Passes of recovery finish the branches, and leave a young branch to the
    // process that prepared it.
    let mut recovery = binds.recovery().run().await;
    for _ in 0..LOOKS {
        if !has(&recovery, &gid) {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        recovery = binds.recovery().run().await;
    }
    let left = has(&recovery, &gid);
    match format {
        Format::Text => {
            println!("{gid}: {outcome}");
            if left || !recovery.unreachable.is_empty() {
                print!("{recovery}");
            }
            for problem in &problems {
                println!("not asked: {problem}");
            }
        }
        Format::Json => {
            let mut value = report(&recovery, &problems);
            value["gid"] = json!(gid.to_string());
            value["outcome"] = json!(outcome.to_string());
            println!("{value:#}");
        }
    }
    // A bind that was not asked may list a branch of the unit.
    Ok(Exit::success_if(
        !left && recovery.unreachable.is_empty() && problems.is_empty(),
    ))
}

pub(crate) async fn force(
    project: &Project,
    name: &str,
    outcome: Forced,
    reason: &str,
    options: ForceOptions,
    format: Format,
) -> Result<Exit, Refusal> {
    let gid = parse(project, name)?;
    let (binds, problems) = binds(project)?;
    // A bind that is not asked may have a part of the unit. Only the holder's part is known to be lost.
    let unseen = |problem: &&BuildProblem| problem.bind() != Some(gid.holder());
    if let Some(problem) = problems.iter().find(unseen) {
        return Err(Refusal::new(format!("nothing is forced: {problem}")));
    }
    let outcome = match outcome {
        Forced::Commit => Outcome::Committed,
        Forced::Rollback => Outcome::RolledBack,
    };
    match binds
        .recovery()
        .force_with(&gid, outcome, reason, options)
        .await
    {
        Ok(recovery) => {
            print(&recovery, &problems, format, "nothing is left");
            Ok(Exit::success_if(recovery.is_complete()))
        }
        Err(error) => {
            eprintln!("error: {}", chain(&error));
            Ok(Exit::Findings)
        }
    }
}

/// Parses the gid of a unit of the project, or the name of its branch: the gid, the bind and a number.
fn parse(project: &Project, name: &str) -> Result<Gid, Refusal> {
    let of_branch = || {
        let (branch, _) = name.rsplit_once(':')?;
        let (gid, _) = branch.rsplit_once(':')?;
        gid.parse().ok()
    };
    let gid: Gid = name.parse().ok().or_else(of_branch).ok_or_else(|| {
        Refusal::new(
            "this is not the gid of a unit, as `in-doubt list` prints it: \
             db1:<namespace>:<unit>:<holder>:<holder id>",
        )
    })?;
    let ours = project.manifest.namespace();
    if gid.namespace() != ours {
        return Err(Refusal::new(format!(
            "{gid} is of the application `{}`, and this is `{ours}`",
            gid.namespace(),
        )));
    }
    Ok(gid)
}

fn has(recovery: &RecoveryReport, gid: &Gid) -> bool {
    recovery
        .in_doubt
        .iter()
        .any(|branch| branch.gid.as_ref() == Some(gid))
}

/// Returns the binds that can be asked. No such bind is an error of the configuration.
fn binds(project: &Project) -> Result<(Binds, Vec<BuildProblem>), Refusal> {
    usable(project.reachable())
}

fn usable(reachable: Reachable) -> Result<(Binds, Vec<BuildProblem>), Refusal> {
    let Reachable { binds, problems } = reachable;
    let binds = binds.ok_or_else(|| {
        let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
        Refusal::new(texts.join("; "))
    })?;
    Ok((binds, problems))
}

fn exit(recovery: &RecoveryReport, problems: &[BuildProblem]) -> Exit {
    Exit::success_if(recovery.is_complete() && problems.is_empty())
}

fn print(recovery: &RecoveryReport, problems: &[BuildProblem], format: Format, nothing: &str) {
    match format {
        Format::Text => {
            print!("{recovery}");
            for problem in problems {
                println!("not asked: {problem}");
            }
            if recovery.is_complete() && recovery.recovered.is_empty() && problems.is_empty() {
                println!("{nothing}");
            }
        }
        Format::Json => println!("{:#}", report(recovery, problems)),
    }
}

fn report(recovery: &RecoveryReport, problems: &[BuildProblem]) -> Value {
    let recovered = recovery.recovered.iter().map(|one| {
        json!({
            "bind": one.bind,
            "gid": one.gid.to_string(),
            "outcome": one.outcome.to_string(),
        })
    });
    let in_doubt = recovery.in_doubt.iter().map(|branch| {
        json!({
            "bind": branch.bind,
            "name": branch.name,
            "gid": branch.gid.as_ref().map(ToString::to_string),
            "age_seconds": branch.age.map(|age| age.as_secs()),
            "reason": chain(&branch.reason),
        })
    });
    let unreachable = recovery
        .unreachable
        .iter()
        .map(|(bind, fault)| json!({ "bind": bind, "message": chain(fault) }));
    let not_forgotten = recovery
        .not_forgotten
        .iter()
        .map(|(bind, fault)| json!({ "bind": bind, "message": chain(fault) }));
    let problems = problems
        .iter()
        .map(|problem| json!({ "bind": problem.bind(), "message": problem.to_string() }));
    json!({
        "recovered": recovered.collect::<Vec<_>>(),
        "in_doubt": in_doubt.collect::<Vec<_>>(),
        "unreachable": unreachable.collect::<Vec<_>>(),
        "forgotten": recovery.forgotten,
        "not_forgotten": not_forgotten.collect::<Vec<_>>(),
        "problems": problems.collect::<Vec<_>>(),
    })
}
