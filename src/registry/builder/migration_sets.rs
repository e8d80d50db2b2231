//! The migrations of the binds that were given to the builder.

use std::sync::Arc;

use diesel_async::AsyncConnection as _;
use futures_util::FutureExt as _;

use crate::backend::migrate::Migratable;
use crate::bind::Bind;
use crate::commit::Fault;
use crate::migrate::{
    AnySet, Connect, MigrationMistake, Need, Set, Sets, Source, read, version_of,
};
use crate::registry::builder::pending::{Attachment, BindId};
use crate::registry::problem::{BuildError, BuildProblem};
use crate::registry::{AnyEntry, Entry};

/// All migrations that were given.
#[derive(Default)]
pub(super) struct GivenMigrations {
    sets: Vec<GivenSet>,
    needs: Vec<Need>,
}

struct GivenSet {
    id: BindId,
    make: Box<Make>,
}

type Make = dyn FnOnce(Place) -> Result<Arc<dyn AnySet>, MigrationMistake> + Send;

/// The database in which the migrations of a bind run.
struct Place {
    number: usize,
    entry: Arc<dyn AnyEntry>,
    /// The file, if it is attached to the connection of the entry.
    file: Option<String>,
}

impl GivenMigrations {
    /// Adds the migrations of a bind.
    pub(super) fn add<B>(&mut self, source: Arc<Source<B::Connection>>)
    where
        B: Bind<Connection: Migratable>,
    {
        let make = move |place: Place| -> Result<Arc<dyn AnySet>, MigrationMistake> {
            let known = read(&*source)?;
            let entry: Arc<Entry<B::Connection>> = place
                .entry
                .into_any()
                .downcast()
                .expect("the builder registers a bind with a pool of its own connection type");
            let limit = entry.timeouts.step;
            let connect = connect::<B>(entry, place.file);
            Ok(Arc::new(Set {
                key: B::KEY,
                place: place.number,
                known,
                source,
                connect,
                limit,
            }))
        };
        self.sets.push(GivenSet {
            id: BindId::of::<B>(),
            make: Box::new(make),
        });
    }

    /// Adds that the migrations of one bind need a migration of another.
    pub(super) fn add_need<B: Bind, Needs: Bind>(&mut self, version: &str) {
        self.needs.push(Need {
            bind: B::KEY,
            needs: Needs::KEY,
            version: version_of(version),
        });
    }

    /// Adds the needs in the manifest of the binds whose migrations were given.
    #[cfg(feature = "manifest")]
    pub(super) fn add_needs(&mut self, manifest: &crate::config::Manifest) {
        let keys: Vec<&'static str> = self.sets.iter().map(|set| set.id.key).collect();
        for bind in &keys {
            let needs = manifest.bind(bind).map_or(&[][..], |bind| bind.needs());
            for need in needs {
                let Some(other) = keys.iter().find(|key| **key == need.bind()) else {
                    // Migrations that were not given run elsewhere, where this need is checked.
                    continue;
                };
                self.needs.push(Need {
                    bind,
                    needs: other,
                    version: need.version().to_owned(),
                });
            }
        }
    }

    /// Builds the sets in their order, unless they have a mistake.
    pub(super) fn build(
        self,
        owners: &[(BindId, usize)],
        entries: &[Arc<dyn AnyEntry>],
        attached: &[Attachment],
    ) -> Result<Arc<Sets>, BuildError> {
        let mut problems = Vec::new();
        let mut sets: Vec<Arc<dyn AnySet>> = Vec::new();
        for given in self.sets {
            let bind = given.id.key;
            let set = if sets.iter().any(|set| set.key() == bind) {
                Err(MigrationMistake::Repeated)
            } else {
                place(given.id, owners, entries, attached)
                    .ok_or(MigrationMistake::UnknownBind)
                    .and_then(given.make)
            };
            match set {
                Ok(set) => sets.push(set),
                Err(mistake) => problems.push(BuildProblem::Migrations { bind, mistake }),
            }
        }
        if !problems.is_empty() {
            return Err(BuildError { problems });
        }
        match Sets::new(sets, self.needs) {
            Ok(sets) => Ok(Arc::new(sets)),
            Err(mistakes) => Err(BuildError {
                problems: mistakes
                    .into_iter()
                    .map(|(bind, mistake)| BuildProblem::Migrations { bind, mistake })
                    .collect(),
            }),
        }
    }
}

/// Returns the place of a bind. Only by its type: a bind that is registered by its key alone may have another
/// connection type.
fn place(
    id: BindId,
    owners: &[(BindId, usize)],
    entries: &[Arc<dyn AnyEntry>],
    attached: &[Attachment],
) -> Option<Place> {
    let (_, position) = owners
        .iter()
        .find(|(owner, _)| owner.type_id == id.type_id)?;
    let file = attached
        .iter()
        .position(|file| file.id.type_id == id.type_id);
    Some(Place {
        number: file.map_or(*position, |number| entries.len() + number),
        entry: Arc::clone(&entries[*position]),
        file: file.map(|number| attached[number].path.clone()),
    })
}

fn connect<B: Bind>(
    entry: Arc<Entry<B::Connection>>,
    file: Option<String>,
) -> Arc<Connect<B::Connection>> {
    Arc::new(move || {
        let (entry, file) = (Arc::clone(&entry), file.clone());
        async move {
            match file {
                Some(file) => B::Connection::establish(&file)
                    .await
                    .map_err(|error| Fault::Connect(error.into())),
                None => entry.connect(entry.timeouts.checkout).await,
            }
        }
        .boxed()
    })
}
