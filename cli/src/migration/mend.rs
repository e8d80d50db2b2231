//! Completes the tables of the commit protocol, which `diesel` does not: those that are gone although Diesel has their
//! migration recorded as applied (they were dropped by hand, or a restore left them out), and the place of a SQLite file.

use diesel_binds::backend::Backend;
use diesel_binds::config::ManifestBind;

use crate::exit::{Refusal, chain};
use crate::migration::folder;
use crate::migration::survey::Survey;
use crate::project::Project;

/// Creates the tables again for these binds, with `binds.install()`.
pub(super) async fn mend(
    project: &Project,
    survey: &Survey<'_>,
    binds: &[&ManifestBind],
) -> Result<(), Refusal> {
    let looks = binds.iter().filter_map(|bind| survey.look(bind.key()));
    for look in looks.filter(|look| survey.has_lost_its_tables(look)) {
        let key = look.bind.key();
        let Some(registry) = project.reachable_of(|bind| bind.key() == key).binds else {
            continue;
        };
        let installed = registry.install().await;
        registry.close().await;
        installed.map_err(|error| {
            let why = look.address.as_ref().map_or_else(
                |_| chain(&error),
                |address| address.redaction.apply(&chain(&error)),
            );
            Refusal::new(format!(
                "{key}: its tables of the commit protocol are gone, and cannot be made again: {why}"
            ))
        })?;
        eprintln!(
            "{key}: its tables of the commit protocol were gone, although their migration is applied; they are there \
             again, without their records: `diesel-binds in-doubt list` shows the units that wait for that"
        );
    }
    Ok(())
}

/// Records the place of SQLite files that have the tables of the commit protocol. A copy that is made before the first unit
/// must not count as the original.
pub(super) async fn record_places(
    project: &Project,
    survey: &Survey<'_>,
    binds: impl Iterator<Item = &ManifestBind>,
) {
    let files = binds.filter(|bind| bind.backend() == Backend::Sqlite);
    for look in files.filter_map(|bind| survey.look(bind.key())) {
        let key = look.bind.key();
        let has_protocol = look
            .folder
            .as_ref()
            .is_ok_and(|folder| folder::protocol(folder).is_some());
        if has_protocol && let Some(registry) = project.reachable_of(|bind| bind.key() == key).binds
        {
            // The first unit records the place as well.
            let _ = registry.install().await;
            registry.close().await;
        }
    }
}
