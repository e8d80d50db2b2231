//! The commands `setup`, `migration` and `print-schema`: the Diesel CLI for several binds.
//!
//! Every command first checks the `diesel.toml` files of all binds (`layout`). If databases are concerned, it also
//! checks all folders and databases (`survey`). Only if they are consistent, it runs `diesel` (`drive`), one process
//! for each bind.

mod applied;
mod branches;
mod drive;
mod folder;
mod generate;
mod layout;
mod mend;
mod status;
mod survey;

use diesel_binds::config::ManifestBind;

use crate::arguments::{Driven as Asked, Format, MigrationCommand, Selection};
use crate::diesel_cli::Diesel;
use crate::exit::{Exit, Refusal};
use crate::migration::applied::{Applied, applied};
use crate::migration::drive::{AfterFailure, Job, Outcome, Show, drive, summary};
use crate::migration::survey::{Look, Survey};
use crate::project::Project;

pub(crate) use self::folder::{protocol, read};

pub(crate) async fn migration(
    project: &Project,
    command: &MigrationCommand,
    format: Format,
) -> Result<Exit, Refusal> {
    match command {
        MigrationCommand::Status => status::status(project, format).await,
        MigrationCommand::Generate { name, driven } => {
            generate::generate(project, name, driven, format).await
        }
        MigrationCommand::Run(asked) => {
            change(project, asked, format, Change::Forth, &["migration run"]).await
        }
        MigrationCommand::Revert(asked) => {
            change(project, asked, format, Change::Back, &["migration revert"]).await
        }
        MigrationCommand::Redo(asked) => {
            change(project, asked, format, Change::Redo, &["migration redo"]).await
        }
        MigrationCommand::List(asked) => {
            look(project, asked, format, "migration list", Show::Lines).await
        }
        MigrationCommand::Pending(asked) => pending(project, asked, format).await,
    }
}

/// Runs `diesel setup` and then the commands that it leaves out: it applies nothing to a database that has the table of
/// the migrations, and writes no schema file.
pub(crate) async fn setup(
    project: &Project,
    asked: &Asked,
    format: Format,
) -> Result<Exit, Refusal> {
    let commands = ["setup", "migration run"];
    change(project, asked, format, Change::Create, &commands).await
}

pub(crate) async fn print_schema(
    project: &Project,
    asked: &Asked,
    format: Format,
) -> Result<Exit, Refusal> {
    look(project, asked, format, "print-schema", Show::Raw).await
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Create,
    Forth,
    Back,
    Redo,
}

/// Runs a command that changes databases. Begins only if all its binds can be reached and are consistent.
async fn change(
    project: &Project,
    asked: &Asked,
    format: Format,
    change: Change,
    commands: &[&str],
) -> Result<Exit, Refusal> {
    let (diesel, mut binds) = prepare(project, asked)?;
    binds = in_order(&binds);
    if change == Change::Back {
        binds.reverse();
    }
    let survey = Survey::take(project).await;
    let mut obstacles = Vec::new();
    for look in binds.iter().filter_map(|bind| survey.look(bind.key())) {
        let mut troubles = survey.troubles(look);
        if let Applied::Unknown(why) = &look.applied
            && look.address.is_ok()
            && change != Change::Create
        {
            troubles.push(format!("it cannot be reached: {why}"));
        }
        obstacles.extend(
            troubles
                .into_iter()
                .map(|trouble| format!("{}: {trouble}", look.bind.key())),
        );
    }
    if !obstacles.is_empty() {
        obstacles.dedup();
        return Err(Refusal::new(format!(
            "nothing was done, because:\n  {}",
            obstacles.join("\n  ")
        )));
    }
    if change == Change::Create {
        mend::mend(project, &survey, &binds).await?;
    }
    let jobs = jobs(&survey, &binds, |_| None, commands, &asked.passed);
    let ready = async |bind: &ManifestBind| match change {
        Change::Create | Change::Forth => needs_are_met(project, bind).await,
        Change::Back | Change::Redo => last_is_own(&survey, bind).await,
    };
    let driven = drive(
        project,
        &diesel,
        jobs,
        AfterFailure::Stop,
        show(format, Show::Lines),
        ready,
    )
    .await;
    if matches!(change, Change::Create | Change::Forth) {
        let done = driven
            .iter()
            .filter(|driven| matches!(driven.outcome, Outcome::Done));
        mend::record_places(project, &survey, done.map(|driven| driven.bind)).await;
    }
    Ok(summary(&driven, format))
}

/// Runs a command that changes nothing. A bind with a problem does not stop the others.
async fn look(
    project: &Project,
    asked: &Asked,
    format: Format,
    command: &str,
    raw_or_lines: Show,
) -> Result<Exit, Refusal> {
    let (diesel, binds) = prepare(project, asked)?;
    let survey = Survey::take(project).await;
    let jobs = jobs(
        &survey,
        &binds,
        |look| obstacle(&survey, look),
        &[command],
        &asked.passed,
    );
    let driven = drive(
        project,
        &diesel,
        jobs,
        AfterFailure::GoOn,
        show(format, raw_or_lines),
        async |_| Ok(()),
    )
    .await;
    Ok(summary(&driven, format))
}

/// Runs `migration pending`. `diesel` prints `true` or `false` and exits with 0 either way; here the exit code has the
/// answer.
async fn pending(project: &Project, asked: &Asked, format: Format) -> Result<Exit, Refusal> {
    let (diesel, binds) = prepare(project, asked)?;
    let survey = Survey::take(project).await;
    let jobs = jobs(
        &survey,
        &binds,
        |look| obstacle(&survey, look),
        &["migration pending"],
        &asked.passed,
    );
    let driven = drive(
        project,
        &diesel,
        jobs,
        AfterFailure::GoOn,
        show(format, Show::Lines),
        async |_| Ok(()),
    )
    .await;
    let something = driven
        .iter()
        .any(|one| one.said.iter().any(|line| line.trim() == "true"));
    Ok(match summary(&driven, format) {
        Exit::Success => Exit::success_if(!something),
        Exit::Findings => Exit::Findings,
    })
}

fn show(format: Format, show: Show) -> Show {
    match format {
        Format::Text => show,
        Format::Json => Show::Nothing,
    }
}

/// Returns the needs of every command: its binds, and a suitable `diesel`. Checks the layout.
fn prepare<'p>(
    project: &'p Project,
    asked: &Asked,
) -> Result<(Diesel, Vec<&'p ManifestBind>), Refusal> {
    let binds = selected(project, &asked.selection)?;
    refuse_addresses(&asked.passed)?;
    layout::check(&project.manifest)?;
    Ok((Diesel::find(&project.manifest, &binds)?, binds))
}

fn selected<'p>(
    project: &'p Project,
    selection: &Selection,
) -> Result<Vec<&'p ManifestBind>, Refusal> {
    let all = project.manifest.binds();
    if let Some(key) = selection
        .keys
        .iter()
        .find(|key| project.manifest.bind(key).is_none())
    {
        let keys: Vec<_> = all.iter().map(ManifestBind::key).collect();
        return Err(Refusal::new(format!(
            "there is no bind `{key}` in diesel-binds.toml: its binds are {}",
            keys.join(", ")
        )));
    }
    let wanted =
        |bind: &&ManifestBind| selection.all || selection.keys.contains(&bind.key().into());
    Ok(all.iter().filter(wanted).collect())
}

/// Refuses flags whose values come from the manifest: given again, they could name the files of another bind.
fn refuse_addresses(passed: &[String]) -> Result<(), Refusal> {
    for name in ["--database-url", "--config-file", "--migration-dir"] {
        if passed.iter().any(|argument| argument.starts_with(name)) {
            return Err(Refusal::new(format!(
                "`{name}` of a bind follows from diesel-binds.toml and the environment; to pass it, call `diesel` \
                 directly"
            )));
        }
    }
    Ok(())
}

/// Returns the binds, each behind those that it needs, otherwise in the order of the manifest.
fn in_order<'p>(binds: &[&'p ManifestBind]) -> Vec<&'p ManifestBind> {
    let mut left = binds.to_vec();
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let waits = |bind: &ManifestBind| {
            let mut needs = bind.needs().iter();
            needs.any(|need| left.iter().any(|other| other.key() == need.bind()))
        };
        // In a cycle of needs, the order of the manifest decides, and the bind whose need is not met fails.
        let next = left.iter().position(|bind| !waits(bind)).unwrap_or(0);
        ordered.push(left.remove(next));
    }
    ordered
}

fn jobs<'p>(
    survey: &Survey<'p>,
    binds: &[&'p ManifestBind],
    obstacle: impl Fn(&Look<'p>) -> Option<String>,
    commands: &[&str],
    passed: &[String],
) -> Vec<Job<'p>> {
    let looks = binds.iter().filter_map(|bind| survey.look(bind.key()));
    looks
        .map(|look| Job {
            bind: look.bind,
            address: look.address.as_ref().ok().cloned(),
            obstacle: obstacle(look),
            commands: commands
                .iter()
                .map(|command| {
                    // The user's arguments are for the requested command, which is the first.
                    let passed = if *command == commands[0] { passed } else { &[] };
                    let words = command.split(' ').map(str::to_owned);
                    words.chain(passed.iter().cloned()).collect()
                })
                .collect(),
        })
        .collect()
}

/// Returns the reason why the database of a bind cannot be read, or must not be trusted.
fn obstacle(survey: &Survey<'_>, look: &Look<'_>) -> Option<String> {
    let troubles = survey.troubles(look);
    if !troubles.is_empty() {
        return Some(troubles.join("; "));
    }
    match &look.applied {
        Applied::Unknown(why) => Some(format!("it cannot be reached: {why}")),
        Applied::NoFile => {
            let setup = format!("`diesel-binds setup --bind {}`", look.bind.key());
            Some(format!("there is no database file yet: {setup} makes it"))
        }
        Applied::Recorded(_) | Applied::NotAsked => None,
    }
}

/// Checks that other binds have applied the migrations that the manifest requires before any migration of this bind.
async fn needs_are_met(project: &Project, bind: &ManifestBind) -> Result<(), String> {
    for need in bind.needs() {
        let Some(other) = project.manifest.bind(need.bind()) else {
            continue;
        };
        let address = project.address(other)?;
        let state = match applied(other.backend(), &address.url).await {
            Applied::Recorded(recorded)
                if need.is_met_by(recorded.applied.iter().map(String::as_str)) =>
            {
                continue;
            }
            Applied::Recorded(_) | Applied::NoFile => "is not applied there".to_owned(),
            Applied::NotAsked => continue,
            Applied::Unknown(why) => {
                format!("cannot be asked for: {}", address.redaction.apply(&why))
            }
        };
        return Err(format!(
            "it needs the migration {} of `{}`, which {state}",
            need.version(),
            need.bind()
        ));
    }
    Ok(())
}

/// Checks that the last migration is the bind's own. Diesel reverts the last one of the database, which another bind
/// may share.
async fn last_is_own(survey: &Survey<'_>, bind: &ManifestBind) -> Result<(), String> {
    let Some(look) = survey.look(bind.key()) else {
        return Ok(());
    };
    let (Ok(address), Ok(folder)) = (&look.address, &look.folder) else {
        return Ok(());
    };
    let Applied::Recorded(recorded) = applied(bind.backend(), &address.url).await else {
        return Ok(());
    };
    let last = recorded.applied.last();
    let Some(last) = last.filter(|last| !folder::has(folder, last)) else {
        return Ok(());
    };
    let owner = survey.together(look).find(|other| {
        let folder = other.folder.as_ref();
        folder.is_ok_and(|folder| folder::has(folder, last))
    });
    Err(match owner {
        Some(owner) => format!(
            "the last migration of its database, {last}, is of `{}`: revert that first",
            owner.bind.key()
        ),
        None => format!("the last migration of its database, {last}, is not in its folder"),
    })
}
