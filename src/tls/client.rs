//! The client's side of TLS for one bind, made of the files that its URL names.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use rustls::ClientConfig;

use crate::tls::files::{Authorities, Identity, IdentityFiles, NamedFile, Roots};
use crate::tls::mode::TlsMode;
use crate::tls::problem::TlsProblem;
use crate::tls::provider::provider;
use crate::tls::verifier::AnyHost;

/// The client's side of TLS. All clones are one, and follow a change of the files.
#[derive(Clone)]
pub(crate) struct TlsClient(Arc<Shared>);

struct Shared {
    files: Files,
    present: Mutex<Arc<Material>>,
}

/// The files of a client, and how they are used.
pub(super) struct Files {
    pub(super) mode: TlsMode,
    pub(super) roots: Option<Roots>,
    pub(super) identity: Option<IdentityFiles>,
}

/// The content of the files.
pub(crate) struct Material {
    /// When each file was last changed.
    changed: Vec<Option<SystemTime>>,
    pub(crate) config: Arc<ClientConfig>,
    #[cfg_attr(not(feature = "mysql"), expect(dead_code))]
    pub(crate) authorities: Option<Authorities>,
    #[cfg_attr(not(feature = "mysql"), expect(dead_code))]
    pub(crate) identity: Option<Identity>,
}

impl TlsClient {
    /// Reads the files, so that their mistakes are known before the first connection.
    pub(super) fn new(files: Files) -> Result<Self, TlsProblem> {
        let present = Mutex::new(Arc::new(files.load()?));
        Ok(Self(Arc::new(Shared { files, present })))
    }

    /// Returns a client that verifies nothing.
    #[cfg(feature = "postgres")]
    pub(crate) fn unverified() -> Self {
        let files = Files {
            mode: TlsMode::Require,
            roots: None,
            identity: None,
        };
        Self::new(files).expect("a client without files has no mistakes")
    }

    /// Returns the content of the files. They are read again after a change. Not all are replaced at once: until they can be
    /// used together, those from before stay in use.
    pub(crate) fn material(&self) -> Arc<Material> {
        let mut present = self.0.present.lock();
        if present.changed != self.0.files.changed() {
            match self.0.files.load() {
                Ok(loaded) => *present = Arc::new(loaded),
                Err(problem) => {
                    tracing::warn!(%problem, "a changed file cannot be used: the one before stays in use");
                }
            }
        }
        Arc::clone(&present)
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient").finish_non_exhaustive()
    }
}

impl Files {
    fn load(&self) -> Result<Material, TlsProblem> {
        // Before the files are read: a change in between is noticed the next time.
        let changed = self.changed();
        let authorities = self.roots.as_ref().map(Roots::load).transpose()?;
        let roots = authorities.as_ref().map(|of| Arc::clone(&of.store));
        let identity = self
            .identity
            .as_ref()
            .map(IdentityFiles::load)
            .transpose()?;
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("a provider has cipher suites of TLS 1.2 or 1.3");
        let builder = match (roots, self.mode) {
            (Some(roots), TlsMode::VerifyFull) => builder.with_root_certificates(roots),
            (roots, _) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyHost { roots, provider })),
        };
        let config = match self.identity.as_ref().zip(identity.as_ref()) {
            Some((files, of)) => builder
                .with_client_auth_cert(of.certificates.clone(), of.key.clone_key())
                .map_err(|error| files.unfit(&error))?,
            None => builder.with_no_client_auth(),
        };
        Ok(Material {
            changed,
            config: Arc::new(config),
            authorities,
            identity,
        })
    }

    fn changed(&self) -> Vec<Option<SystemTime>> {
        let roots = match &self.roots {
            Some(Roots::File(file)) => Some(file),
            _ => None,
        };
        let identity = self.identity.as_ref();
        let identity = identity.map(|files| [&files.certificate, &files.key]);
        let files = roots.into_iter().chain(identity.into_iter().flatten());
        files.map(NamedFile::changed).collect()
    }
}
