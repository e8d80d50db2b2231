//! Binds from the manifest of the project, without their types.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use crate::backend::Backend;
use crate::config::{Manifest, ManifestBind, ManifestPlace};
use crate::registry::builder::BindsBuilder;
use crate::registry::builder::pending::{BindId, BuilderArgument, Pending, Placement};
use crate::registry::builder::source::Source;
use crate::registry::problem::BuildProblem;

impl BindsBuilder {
    /// Sets a manifest as the source of the namespace, and of the variables with the URLs of
    /// [`Source::env`](crate::Source::env).
    ///
    /// A bind with that source must then be in the manifest, with the backend of its type and in the same place.
    pub fn manifest(mut self, manifest: &Manifest) -> Self {
        self.namespace = Some(manifest.namespace().to_owned());
        self.manifest = Some(manifest.clone());
        self
    }

    /// Registers a bind of the manifest without its type: by its key, with the URL in the environment.
    ///
    /// No session can use the bind. The calls that need no type do: [`check`](crate::Binds::check),
    /// [`recovery`](crate::Binds::recovery), [`install`](crate::Binds::install). Register binds by key in a process
    /// that does nothing else.
    ///
    /// Keeps the key in memory until the process ends, once for each key.
    pub fn bind_named(mut self, key: &str) -> Self {
        self.given.push(BuilderArgument::Named(key.into()));
        self
    }

    /// Registers every bind of the manifest without its type. See [`bind_named`](Self::bind_named).
    pub fn bind_all_named(mut self) -> Self {
        self.given.push(BuilderArgument::AllNamed);
        self
    }

    pub(super) fn named(&mut self, key: &str) -> Option<Pending> {
        let listed = self
            .manifest
            .as_ref()
            .and_then(|manifest| manifest.bind(key));
        let Some(bind) = listed else {
            let problem = BuildProblem::NotInManifest { bind: key.into() };
            self.problems.push(problem);
            return None;
        };
        let (id, backend) = (named(key), bind.backend());
        let placed = place_named(bind, id.key);
        let placement = Placement::or_broken(placed, &mut self.problems);
        Some(Pending {
            id,
            backend,
            placement,
        })
    }

    pub(super) fn all_named(&mut self) -> Vec<Pending> {
        let keys: Vec<String> = self
            .manifest
            .iter()
            .flat_map(Manifest::binds)
            .map(|bind| bind.key().to_owned())
            .collect();
        keys.iter().flat_map(|key| self.named(key)).collect()
    }
}

fn place_named(bind: &ManifestBind, key: &'static str) -> Result<Placement, BuildProblem> {
    let mut placement = match bind.place() {
        ManifestPlace::SharedWith(with) => {
            return Ok(Placement::Shared {
                with: named(with),
                path: None,
            });
        }
        ManifestPlace::Own | ManifestPlace::AttachedTo(_) => in_environment(key, bind.backend())?,
    };
    if let (Placement::Unresolved(unresolved), ManifestPlace::AttachedTo(to)) =
        (&mut placement, bind.place())
    {
        unresolved.attach_to = Some(named(to));
    }
    Ok(placement)
}

fn in_environment(bind: &'static str, backend: Backend) -> Result<Placement, BuildProblem> {
    match backend {
        #[cfg(all(feature = "postgres", any(feature = "deadpool", feature = "bb8")))]
        Backend::Postgres => Source::<diesel_async::AsyncPgConnection>::env().place(bind),
        #[cfg(all(feature = "mysql", any(feature = "deadpool", feature = "bb8")))]
        Backend::Mysql => Source::<diesel_async::AsyncMysqlConnection>::env().place(bind),
        #[cfg(all(feature = "sqlite", any(feature = "deadpool", feature = "bb8")))]
        Backend::Sqlite => {
            Source::<crate::backend::sqlite::AsyncSqliteConnection>::env().place(bind)
        }
        #[allow(unreachable_patterns, reason = "only where every backend is turned on")]
        _ => Err(match cfg!(any(feature = "deadpool", feature = "bb8")) {
            true => BuildProblem::NoBackend { bind, backend },
            false => BuildProblem::NoPool { bind },
        }),
    }
}

/// Returns the identity of a bind without a type. Keys live as long as the process, each once.
fn named(key: &str) -> BindId {
    static KEYS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut keys = KEYS.lock();
    let key = match keys.get(key) {
        Some(known) => known,
        None => {
            let kept: &'static str = Box::leak(key.into());
            keys.insert(kept);
            kept
        }
    };
    BindId { key, type_id: None }
}
