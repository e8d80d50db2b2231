//! Binds by the manifest of the project: with their types, or by their keys alone.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::backend::Backend;
use crate::config::{BindOptions, Manifest, ManifestBind, ManifestPlace, Pooling};
use crate::registry::builder::BindsBuilder;
use crate::registry::builder::pending::{Place, Who};
use crate::registry::problem::BuildProblem;

impl BindsBuilder {
    /// Takes the namespace from a manifest, and from now on also the variables with the URLs.
    ///
    /// A bind of [`bind_env`](Self::bind_env) must then be in the manifest, with the backend of its type.
    pub fn manifest(mut self, manifest: &Manifest) -> Self {
        // It may name other variables.
        if !self.variables.is_empty() {
            self.problems.push(BuildProblem::LateManifest);
        }
        self.namespace = Some(manifest.namespace().to_owned());
        self.manifest = Some(manifest.clone());
        self
    }

    /// Registers a bind of the manifest without its type: by its key, with the URL in the environment.
    ///
    /// No session can use it, but all that asks for no type can: [`check`](crate::Binds::check),
    /// [`recover`](crate::Binds::recover), [`install`](crate::Binds::install). For a process that only does that.
    ///
    /// Keeps the key in memory until the process ends, once for each key.
    pub fn bind_named(mut self, key: &str) -> Self {
        match self
            .manifest
            .as_ref()
            .and_then(|manifest| manifest.bind(key))
        {
            Some(bind) => {
                let bind = bind.clone();
                self.add_named(&bind);
            }
            None => self
                .problems
                .push(BuildProblem::NotInManifest { bind: key.into() }),
        }
        self
    }

    /// Registers every bind of the manifest without its type, as [`bind_named`](Self::bind_named) does with one.
    pub fn bind_all_named(mut self) -> Self {
        let binds = self
            .manifest
            .as_ref()
            .map_or_else(Vec::new, |manifest| manifest.binds().to_vec());
        for bind in &binds {
            self.add_named(bind);
        }
        self
    }

    fn add_named(&mut self, bind: &ManifestBind) {
        let who = named(bind.key());
        let backend = bind.backend();
        match bind.place() {
            ManifestPlace::SameAs(with) => {
                let place = Place::Shared {
                    with: named(with),
                    path: None,
                };
                self.push(who, backend, place);
            }
            ManifestPlace::AttachedTo(to) => match self.url_of(bind, who) {
                #[cfg(feature = "sqlite")]
                Ok(path) => self.add_attached(who, named(to), backend, &path),
                #[cfg(not(feature = "sqlite"))]
                Ok(_) => {
                    let _ = to;
                    self.add_named_url(who, backend, "");
                }
                Err(problem) => self.broken(who, backend, problem),
            },
            ManifestPlace::Own => match self.url_of(bind, who) {
                Ok(url) => self.add_named_url(who, backend, &url),
                Err(problem) => self.broken(who, backend, problem),
            },
        }
    }

    fn url_of(&self, bind: &ManifestBind, who: Who) -> Result<String, BuildProblem> {
        let variable = bind.variable().unwrap_or_default();
        std::env::var(variable).map_err(|_| BuildProblem::NoUrl {
            bind: who.key,
            variable: variable.into(),
        })
    }

    fn add_named_url(&mut self, who: Who, backend: Backend, url: &str) {
        let (pooling, options) = (Pooling::default(), BindOptions::default());
        match backend {
            #[cfg(all(feature = "postgres", any(feature = "deadpool", feature = "bb8")))]
            Backend::Postgres => {
                self.add_url::<diesel_async::AsyncPgConnection>(who, url, None, &pooling, options)
            }
            #[cfg(all(feature = "mysql", any(feature = "deadpool", feature = "bb8")))]
            Backend::Mysql => self
                .add_url::<diesel_async::AsyncMysqlConnection>(who, url, None, &pooling, options),
            #[cfg(all(feature = "sqlite", any(feature = "deadpool", feature = "bb8")))]
            Backend::Sqlite => self.add_url::<crate::backend::sqlite::AsyncSqliteConnection>(
                who, url, None, &pooling, options,
            ),
            #[allow(unreachable_patterns, reason = "only where every backend is turned on")]
            _ => {
                let _ = (url, pooling, options);
                let bind = who.key;
                let problem = if cfg!(any(feature = "deadpool", feature = "bb8")) {
                    BuildProblem::NoBackend { bind, backend }
                } else {
                    BuildProblem::NoPool { bind }
                };
                self.broken(who, backend, problem);
            }
        }
    }
}

/// A bind without a type. Keys live as long as the process, each once.
fn named(key: &str) -> Who {
    static KEYS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    let key = match keys.get(key) {
        Some(known) => known,
        None => {
            let kept: &'static str = Box::leak(key.into());
            keys.insert(kept);
            kept
        }
    };
    Who { key, id: None }
}
