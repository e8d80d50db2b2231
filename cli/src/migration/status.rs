//! The command `migration status`: all binds in one table.

use diesel_binds::config::ManifestBind;
use diesel_binds::migrations::{MigrationId, MigrationState};
use serde_json::json;

use crate::arguments::Format;
use crate::diesel_cli::{Diesel, Line};
use crate::exit::{Exit, Refusal};
use crate::migration::applied::Applied;
use crate::migration::layout;
use crate::migration::survey::{Look, Survey};
use crate::project::Project;

/// The row of one bind.
struct Row<'p> {
    bind: &'p ManifestBind,
    /// The state of the migrations; `None` if it is unknown.
    state: Option<MigrationState>,
    /// The problems, each in a sentence.
    notes: Vec<String>,
    schema: Schema,
}

/// The comparison of the schema file with the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Schema {
    Same,
    Differs,
    /// A migration is pending, or the comparison failed.
    NotCompared,
}

pub(super) async fn status(project: &Project, format: Format) -> Result<Exit, Refusal> {
    let layout = layout::problems(&project.manifest);
    let survey = Survey::take(project).await;
    let all: Vec<_> = project.manifest.binds().iter().collect();
    // Without `diesel`, everything but the schema files can still be reported.
    let diesel = Diesel::find(&project.manifest, &all);
    let diesel_problem = diesel.as_ref().err().map(ToString::to_string);
    let usable = diesel.as_ref().ok().filter(|_| layout.is_empty());
    let mut rows = Vec::new();
    for look in &survey.looks {
        rows.push(row(project, &survey, look, usable).await);
    }
    let problems: Vec<_> = layout.into_iter().chain(diesel_problem).collect();
    match format {
        Format::Text => {
            table(&rows);
            for row in &rows {
                for note in &row.notes {
                    println!("{}: {note}", row.bind.key());
                }
            }
            for problem in &problems {
                println!("error: {problem}");
            }
        }
        Format::Json => println!("{:#}", as_json(&rows, &problems)),
    }
    Ok(Exit::success_if(
        problems.is_empty() && rows.iter().all(Row::is_well),
    ))
}

impl Row<'_> {
    fn is_well(&self) -> bool {
        self.notes.is_empty() && self.state.is_some()
    }
}

async fn row<'p>(
    project: &Project,
    survey: &Survey<'p>,
    look: &Look<'p>,
    diesel: Option<&Diesel>,
) -> Row<'p> {
    let state = survey.state(look);
    let mut notes = survey.troubles(look);
    match &look.applied {
        Applied::Unknown(why) if look.address.is_ok() => {
            notes.push(format!("it cannot be reached: {why}"));
        }
        Applied::NotAsked => {
            notes.push(
                "its URL requires TLS, so its database was not read: use `migration list`"
                    .to_owned(),
            );
        }
        Applied::NoFile => notes.push("there is no database file yet".to_owned()),
        Applied::Recorded(_) if survey.has_lost_its_tables(look) => notes.push(format!(
            "its tables of the commit protocol are gone, although their migration is applied: \
             `diesel-binds setup --bind {}` makes them again",
            look.bind.key()
        )),
        Applied::Recorded(_) | Applied::Unknown(_) => {}
    }
    let mut schema = Schema::NotCompared;
    if let Some(state) = &state {
        if !state.pending.is_empty() {
            notes.push(format!("pending: {}", names(&state.pending).join(", ")));
        }
        if !state.unknown.is_empty() {
            notes.push(format!(
                "applied, and not in its folder: {}",
                state.unknown.join(", ")
            ));
        }
        if !state.out_of_order.is_empty() {
            notes.push(format!(
                "older than an applied one: {}",
                names(&state.out_of_order).join(", ")
            ));
        }
        // If migrations are pending, the schema file of a checkout is ahead of its database.
        if let (Some(diesel), true) = (diesel, state.pending.is_empty() && notes.is_empty()) {
            schema = compare(project, look, diesel).await;
        }
        if schema == Schema::Differs {
            notes.push(format!(
                "{} differs from its database: a migration was edited after it was applied, or the file, or the \
                 database by hand",
                crate::diesel_cli::relative(project.manifest.folder(), look.bind.schema()).display()
            ));
        }
    }
    Row {
        bind: look.bind,
        state,
        notes,
        schema,
    }
}

async fn compare(project: &Project, look: &Look<'_>, diesel: &Diesel) -> Schema {
    let Ok(file) = std::fs::read_to_string(look.bind.schema()) else {
        return Schema::Differs;
    };
    let mut printed = Vec::new();
    let command = ["print-schema".to_owned()];
    let address = look.address.as_ref().ok();
    let ran = diesel.run(&project.manifest, look.bind, address, &command, |line| {
        if let Line::Out(line) = line {
            printed.push(line);
        }
    });
    match ran.await {
        Err(_) => Schema::NotCompared,
        Ok(()) if file.lines().eq(printed.iter().map(String::as_str)) => Schema::Same,
        Ok(()) => Schema::Differs,
    }
}

fn table(rows: &[Row<'_>]) {
    let mut lines =
        vec![["bind", "backend", "applied", "pending", "unknown", "drift"].map(String::from)];
    lines.extend(rows.iter().map(|row| {
        let count = |of: fn(&MigrationState) -> usize| match &row.state {
            Some(state) => of(state).to_string(),
            None => "?".to_owned(),
        };
        [
            row.bind.key().to_owned(),
            row.bind.backend().to_string(),
            count(|state| state.applied.len()),
            count(|state| state.pending.len()),
            count(|state| state.unknown.len()),
            drift(row).to_owned(),
        ]
    }));
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].len())
            .max()
            .unwrap_or(0)
    };
    let widths = [0, 1, 2, 3, 4, 5].map(width);
    for [bind, backend, applied, pending, unknown, drift] in &lines {
        let [a, b, c, d, e, _] = widths;
        println!("{bind:a$}  {backend:b$}  {applied:>c$}  {pending:>d$}  {unknown:>e$}  {drift}");
    }
}

fn drift(row: &Row<'_>) -> &'static str {
    match (&row.state, row.schema) {
        (Some(state), _) if !state.out_of_order.is_empty() => "order",
        (_, Schema::Same) => "none",
        (_, Schema::Differs) => "schema file",
        (_, Schema::NotCompared) => "?",
    }
}

fn as_json(rows: &[Row<'_>], problems: &[String]) -> serde_json::Value {
    let binds = rows.iter().map(|row| {
        let state = row.state.as_ref();
        json!({
            "bind": row.bind.key(),
            "backend": row.bind.backend().to_string(),
            "applied": state.map(|state| names(&state.applied)),
            "pending": state.map(|state| names(&state.pending)),
            "unknown": state.map(|state| &state.unknown),
            "overtaken": state.map(|state| names(&state.out_of_order)),
            "schema_file": match row.schema {
                Schema::Same => "same",
                Schema::Differs => "differs",
                Schema::NotCompared => "not compared",
            },
            "notes": row.notes,
        })
    });
    json!({ "binds": binds.collect::<Vec<_>>(), "problems": problems })
}

fn names(migrations: &[MigrationId]) -> Vec<&str> {
    migrations.iter().map(|id| &*id.name).collect()
}
