//! The command `migration generate`: a new migration for each bind, with a version that no bind has yet.

use std::collections::BTreeSet;

use diesel_binds::__private::version_of;
use diesel_binds::config::ManifestBind;
use diesel_binds::migrations::MigrationId;
use time::OffsetDateTime;

use crate::arguments::{Driven as Asked, Format};
use crate::exit::{Exit, Refusal};
use crate::migration::drive::{AfterFailure, Job, Show, drive, summary};
use crate::migration::folder;
use crate::migration::{in_order, prepare, show};
use crate::project::Project;

pub(super) async fn generate(
    project: &Project,
    name: &str,
    asked: &Asked,
    format: Format,
) -> Result<Exit, Refusal> {
    let (diesel, binds) = prepare(project, asked)?;
    let mut taken = Vec::new();
    for bind in project.manifest.binds() {
        let migrations = folder::read(bind.migrations()).map_err(Refusal::new)?;
        taken.extend(migrations.into_iter().map(|migration| (bind, migration)));
    }
    let given = given_version(&asked.passed);
    if let Some(version) = given {
        refuse_taken(version, &binds, &taken)?;
    }
    let mut versions: BTreeSet<_> = taken.into_iter().map(|(_, id)| id.version).collect();
    let now = now();
    let jobs = in_order(&binds).into_iter().map(|bind| {
        let mut command: Vec<String> = vec!["migration".into(), "generate".into(), name.into()];
        if given.is_none() {
            command.extend(["--version".into(), free(&now, &mut versions)]);
        }
        command.extend(asked.passed.iter().cloned());
        Job {
            bind,
            address: project.address(bind).ok(),
            commands: vec![command],
            obstacle: None,
        }
    });
    let driven = drive(
        project,
        &diesel,
        jobs.collect(),
        AfterFailure::Stop,
        show(format, Show::Lines),
        async |_| Ok(()),
    )
    .await;
    Ok(summary(&driven, format))
}

/// Returns the current second in the format of `diesel`.
fn now() -> String {
    let now = OffsetDateTime::now_utc();
    let (year, month, day) = (now.year(), u8::from(now.month()), now.day());
    let (hour, minute, second) = now.to_hms();
    format!("{year:04}-{month:02}-{day:02}-{hour:02}{minute:02}{second:02}")
}

/// Returns a version of this second that no bind has. `diesel` itself looks in one folder only.
fn free(now: &str, taken: &mut BTreeSet<String>) -> String {
    let mut number: u32 = 0;
    loop {
        let version = format!("{now}-{number:04x}");
        if taken.insert(version_of(&version)) {
            return version;
        }
        number += 1;
    }
}

/// Returns the argument of the user's `--version`.
fn given_version(passed: &[String]) -> Option<&str> {
    passed.iter().enumerate().find_map(|(i, argument)| {
        let value = argument.strip_prefix("--version")?;
        match value.strip_prefix('=') {
            Some(value) => Some(value),
            None => passed.get(i + 1).map(String::as_str),
        }
    })
}

fn refuse_taken(
    version: &str,
    binds: &[&ManifestBind],
    taken: &[(&ManifestBind, MigrationId)],
) -> Result<(), Refusal> {
    let refusal = |why: String| {
        Err(Refusal::new(format!(
            "{why}: Diesel tells migrations apart by their versions only, so no two binds get the same"
        )))
    };
    if binds.len() > 1 {
        return refusal("one version was given for several binds".into());
    }
    let recorded = version_of(version);
    match taken.iter().find(|(_, other)| other.version == recorded) {
        Some((bind, other)) => refusal(format!("`{}` has {other}", bind.key())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{free, given_version};

    #[test]
    fn no_version_is_given_twice() {
        let mut taken = BTreeSet::from(["202611210900000000".to_owned()]);
        let now = "2026-11-21-090000";
        assert_eq!(free(now, &mut taken), "2026-11-21-090000-0001");
        assert_eq!(free(now, &mut taken), "2026-11-21-090000-0002");
    }

    #[test]
    fn a_version_is_found_as_diesel_takes_it() {
        let passed = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        assert_eq!(given_version(&passed(&["--version", "1"])), Some("1"));
        assert_eq!(given_version(&passed(&["-u", "--version=1"])), Some("1"));
        assert_eq!(given_version(&passed(&["-u"])), None);
    }
}
