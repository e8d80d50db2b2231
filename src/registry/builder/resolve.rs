//! Lookup of the sources of the binds: each becomes a pool, or a place on the connection of another bind.

use std::mem;

use crate::backend::Backend;
#[cfg(feature = "sqlite")]
use crate::config::sqlite_name;
use crate::config::{UrlProblem, check_url, default_variable};
use crate::registry::builder::BindsBuilder;
use crate::registry::builder::pending::{Given, Located, Location, Pending, Place, Who};
use crate::registry::problem::BuildProblem;

impl BindsBuilder {
    /// Looks up the source of each bind, in the order in which they were given. A bind whose source has a mistake
    /// stays, as broken, so that no other mistake is reported for it.
    pub(super) fn resolve(&mut self) -> Vec<Pending> {
        let (mut binds, mut variables) = (Vec::new(), Vec::new());
        for given in mem::take(&mut self.given) {
            let named = match given {
                Given::Bind(bind) => vec![bind],
                #[cfg(feature = "manifest")]
                Given::Named(key) => self.named(&key).into_iter().collect(),
                #[cfg(feature = "manifest")]
                Given::AllNamed => self.all_named(),
            };
            for mut bind in named {
                if let Place::Located(located) = bind.place {
                    let place = self.place(bind.who, bind.backend, located, &mut variables);
                    bind.place = place.unwrap_or_else(|problem| {
                        self.problems.push(problem);
                        Place::Broken
                    });
                }
                binds.push(bind);
            }
        }
        binds
    }

    fn place(
        &self,
        who: Who,
        backend: Backend,
        located: Located,
        variables: &mut Vec<(&'static str, String)>,
    ) -> Result<Place, BuildProblem> {
        let bind = who.key;
        let url = match located.location {
            Location::Url(url) => url,
            Location::Env => {
                let variable = self.variable(bind, backend, located.attach_to)?;
                read(bind, variable, variables)?
            }
            Location::Variable(variable) => read(bind, variable, variables)?,
        };
        #[cfg(feature = "sqlite")]
        if let Some(to) = located.attach_to {
            return attached(bind, to, backend, &url);
        }
        match check_url(backend, &url) {
            Err(UrlProblem::TlsUnsupported | UrlProblem::OwnMemory) if located.has_setup => {}
            checked => checked.map_err(|problem| BuildProblem::Url { bind, problem })?,
        }
        Ok((located.open)(&url))
    }

    /// Returns the variable with the URL of a bind: the one that its manifest names, or that follows from its key.
    #[cfg(feature = "manifest")]
    fn variable(
        &self,
        bind: &'static str,
        backend: Backend,
        attach_to: Option<Who>,
    ) -> Result<String, BuildProblem> {
        use crate::config::ManifestPlace;

        let Some(manifest) = &self.manifest else {
            return Ok(default_variable(bind));
        };
        let Some(listed) = manifest.bind(bind) else {
            return Err(BuildProblem::NotInManifest { bind: bind.into() });
        };
        if listed.backend() != backend {
            return Err(BuildProblem::OtherBackend {
                bind,
                manifest: listed.backend(),
                backend,
            });
        }
        let place = match attach_to {
            Some(to) => ManifestPlace::AttachedTo(to.key.into()),
            None => ManifestPlace::Own,
        };
        if *listed.place() != place {
            let place = listed.place().clone();
            return Err(BuildProblem::OtherPlace { bind, place });
        }
        Ok(listed
            .variable()
            .map_or_else(|| default_variable(bind), str::to_owned))
    }

    #[cfg(not(feature = "manifest"))]
    fn variable(
        &self,
        bind: &'static str,
        _: Backend,
        _: Option<Who>,
    ) -> Result<String, BuildProblem> {
        Ok(default_variable(bind))
    }
}

/// Reads a variable, which no other bind may have read.
fn read(
    bind: &'static str,
    variable: String,
    variables: &mut Vec<(&'static str, String)>,
) -> Result<String, BuildProblem> {
    if let Some((with, _)) = variables.iter().find(|(_, read)| *read == variable) {
        return Err(BuildProblem::SharedVariable {
            bind,
            with,
            variable,
        });
    }
    variables.push((bind, variable.clone()));
    std::env::var(&variable).map_err(|_| BuildProblem::NoUrl { bind, variable })
}

#[cfg(feature = "sqlite")]
fn attached(
    bind: &'static str,
    to: Who,
    backend: Backend,
    path: &str,
) -> Result<Place, BuildProblem> {
    if backend != Backend::Sqlite {
        let problem = UrlProblem::WrongBackend {
            scheme: "(file)".into(),
            backend,
        };
        return Err(BuildProblem::Url { bind, problem });
    }
    check_url(Backend::Sqlite, path).map_err(|problem| BuildProblem::Url { bind, problem })?;
    if matches!(bind, "main" | "temp") {
        return Err(BuildProblem::ReservedKey { key: bind });
    }
    Ok(Place::Shared {
        with: to,
        path: Some(sqlite_name(path)),
    })
}
