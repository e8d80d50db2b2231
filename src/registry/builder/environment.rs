//! The URL of a bind, by the environment.

use crate::backend::Backend;
use crate::config::default_variable;
use crate::registry::builder::BindsBuilder;
use crate::registry::builder::pending::Who;
use crate::registry::problem::BuildProblem;

impl BindsBuilder {
    /// Reads the URL of a bind out of the variable that its manifest names, or that follows from its key.
    pub(super) fn url_in_environment(
        &mut self,
        who: Who,
        backend: Backend,
    ) -> Result<String, BuildProblem> {
        let bind = who.key;
        let variable = self.variable(bind, backend)?;
        if let Some((with, _)) = self.variables.iter().find(|(_, read)| *read == variable) {
            return Err(BuildProblem::SharedVariable {
                bind,
                with,
                variable,
            });
        }
        self.variables.push((bind, variable.clone()));
        std::env::var(&variable).map_err(|_| BuildProblem::NoUrl { bind, variable })
    }

    #[cfg(feature = "manifest")]
    fn variable(&self, bind: &'static str, backend: Backend) -> Result<String, BuildProblem> {
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
        if let ManifestPlace::SameAs(with) | ManifestPlace::AttachedTo(with) = listed.place() {
            return Err(BuildProblem::OtherPlace {
                bind,
                with: with.clone(),
            });
        }
        Ok(listed
            .variable()
            .map_or_else(|| default_variable(bind), str::to_owned))
    }

    #[cfg(not(feature = "manifest"))]
    fn variable(&self, bind: &'static str, _: Backend) -> Result<String, BuildProblem> {
        Ok(default_variable(bind))
    }
}
