//! Restores tables of the commit protocol that are gone although Diesel has their migration recorded as applied. They
//! were dropped by hand, or a restore left them out. `diesel` does not create them again.

use diesel_binds::config::ManifestBind;

use crate::exit::{Refusal, chain};
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
