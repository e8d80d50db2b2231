//! Lookup of the sources of the binds: each becomes a pool, or is put on the connection of another bind.

use std::mem;

use crate::backend::Backend;
#[cfg(feature = "sqlite")]
use crate::config::{UrlProblem, sqlite_name};
use crate::config::{check_url, check_url_of_setup, default_variable};
use crate::registry::builder::BindsBuilder;
use crate::registry::builder::pending::{
    BindId, BuilderArgument, Pending, Placement, UnresolvedUrl, UrlSource,
};
use crate::registry::problem::BuildProblem;

impl BindsBuilder {
    /// Looks up the source of each bind, in the order in which they were given. A bind whose source has a mistake
    /// stays, as broken, so that no other mistake is reported for it.
    pub(super) fn resolve(&mut self) -> Vec<Pending> {
        let (mut binds, mut variables) = (Vec::new(), Vec::new());
        for given in mem::take(&mut self.given) {
            let named = match given {
                BuilderArgument::Bind(bind) => vec![bind],
                #[cfg(feature = "manifest")]
                BuilderArgument::Named(key) => self.named(&key).into_iter().collect(),
                #[cfg(feature = "manifest")]
                BuilderArgument::AllNamed => self.all_named(),
            };
            for mut bind in named {
                if let Placement::Unresolved(unresolved) = bind.placement {
                    let placed = self.place_url(bind.id, bind.backend, unresolved, &mut variables);
                    bind.placement = Placement::or_broken(placed, &mut self.problems);
                }
                binds.push(bind);
            }
        }
        binds
    }

    /// Returns the placement of a bind with a URL: a pool of its own, or the connection that the file is attached to.
    fn place_url(
        &self,
        id: BindId,
        backend: Backend,
        unresolved: UnresolvedUrl,
        variables: &mut Vec<(&'static str, String)>,
    ) -> Result<Placement, BuildProblem> {
        let bind = id.key;
        let url = match unresolved.source {
            UrlSource::Url(url) => url,
            UrlSource::Env => {
                let variable = self.variable(bind, backend, unresolved.attach_to)?;
                read(bind, variable, variables)?
            }
            UrlSource::Variable(variable) => read(bind, variable, variables)?,
        };
        #[cfg(feature = "sqlite")]
        if let Some(to) = unresolved.attach_to {
            return attached(bind, to, backend, &url);
        }
        let place = match unresolved.has_setup {
            true => check_url_of_setup(backend, &url),
            false => check_url(backend, &url),
        };
        let place = place.map_err(|problem| BuildProblem::Url { bind, problem })?;
        Ok((unresolved.open)(place))
    }

    /// Returns the variable with the URL of a bind: the one that its manifest names, or that follows from its key.
    #[cfg(feature = "manifest")]
    fn variable(
        &self,
        bind: &'static str,
        backend: Backend,
        attach_to: Option<BindId>,
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
        _: Option<BindId>,
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
    to: BindId,
    backend: Backend,
    path: &str,
) -> Result<Placement, BuildProblem> {
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
    Ok(Placement::Shared {
        with: to,
        path: Some(sqlite_name(path)),
    })
}
