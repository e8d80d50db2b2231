//! The files that a URL names: root certificates, and the certificate and the key of the client.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::tls::problem::TlsProblem;

/// The certificates of the authorities whose signatures count.
#[derive(Clone, Debug)]
pub(super) enum Roots {
    File(NamedFile),
    /// Those of the system, for want of this parameter.
    System(&'static str),
}

/// The certificate and the key by which a client proves who it is.
#[derive(Clone, Debug)]
pub(super) struct IdentityFiles {
    pub(super) certificate: NamedFile,
    pub(super) key: NamedFile,
}

/// A file, and the parameter that names it.
#[derive(Clone, Debug)]
pub(super) struct NamedFile {
    pub(super) parameter: &'static str,
    pub(super) path: PathBuf,
}

/// The certificate of a client with those of the authorities between, and its key.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Roots {
    pub(super) fn load(&self) -> Result<Arc<RootCertStore>, TlsProblem> {
        let file = match self {
            Self::File(file) => file,
            Self::System(parameter) => {
                return system().ok_or(TlsProblem::NoSystemRoots { parameter });
            }
        };
        let mut store = RootCertStore::empty();
        for certificate in file.certificates()? {
            store
                .add(certificate)
                .map_err(|error| file.unusable(&error.to_string()))?;
        }
        Ok(Arc::new(store))
    }
}

/// Reads the root certificates of the system, once: there are about 150.
fn system() -> Option<Arc<RootCertStore>> {
    static SYSTEM: OnceLock<Option<Arc<RootCertStore>>> = OnceLock::new();
    let loaded = SYSTEM.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::debug!(%error, "a root certificate of the system cannot be read");
        }
        let mut store = RootCertStore::empty();
        // A store of a system always has certificates of old forms.
        store.add_parsable_certificates(found.certs);
        (!store.is_empty()).then(|| Arc::new(store))
    });
    loaded.clone()
}

impl IdentityFiles {
    pub(super) fn load(&self) -> Result<Identity, TlsProblem> {
        let certificates = self.certificate.certificates()?;
        let bytes = self.key.read()?;
        let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
            let is_encrypted = String::from_utf8_lossy(&bytes).contains("ENCRYPTED");
            self.key.unusable(&match is_encrypted {
                true => "the key is encrypted: decrypt it (`openssl pkey`)".to_owned(),
                false => format!("it has no private key in PEM ({error})"),
            })
        })?;
        Ok(Identity { certificates, key })
    }

    /// Returns the problem of a key that does not belong to its certificate, or that cannot be used.
    pub(super) fn unfit(&self, error: &rustls::Error) -> TlsProblem {
        self.key.unusable(&match error {
            rustls::Error::InconsistentKeys(_) => format!(
                "the key does not belong to the certificate in `{}`",
                self.certificate.path.display()
            ),
            other => other.to_string(),
        })
    }
}

impl NamedFile {
    /// Returns when the file was last changed, as far as the system tells.
    pub(super) fn changed(&self) -> Option<SystemTime> {
        fs::metadata(&self.path).and_then(|of| of.modified()).ok()
    }

    /// Reads the certificates: PEM with any number of them, or DER with one.
    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
        let bytes = self.read()?;
        let in_pem: Result<Vec<_>, PemError> = CertificateDer::pem_slice_iter(&bytes).collect();
        match in_pem {
            Ok(found) if !found.is_empty() => Ok(found),
            // A sequence of DER begins with this byte, and no PEM does.
            Ok(_) if bytes.first() == Some(&0x30) => Ok(vec![CertificateDer::from(bytes)]),
            Ok(_) => Err(self.unusable("it has no certificate")),
            Err(PemError::MissingSectionEnd { .. }) => {
                Err(self.unusable("a section in PEM has no line with its end"))
            }
            Err(error) => Err(self.unusable(&error.to_string())),
        }
    }

    fn read(&self) -> Result<Vec<u8>, TlsProblem> {
        fs::read(&self.path).map_err(|error| self.unusable(&error.to_string()))
    }

    fn unusable(&self, reason: &str) -> TlsProblem {
        TlsProblem::File {
            parameter: self.parameter,
            path: self.path.clone(),
            reason: reason.to_owned(),
        }
    }
}
