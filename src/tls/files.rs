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
    /// The root certificates of the system, because this parameter names no file.
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
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// The file of the certificates, for a driver that reads it itself.
    #[cfg_attr(not(feature = "mysql"), expect(dead_code))]
    pub(crate) chain: Vec<u8>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// Root certificates.
#[derive(Clone)]
pub(crate) struct Authorities {
    pub(super) store: Arc<RootCertStore>,
    /// The bytes of these certificates, for a driver that reads them itself.
    #[cfg_attr(not(feature = "mysql"), expect(dead_code))]
    pub(crate) certificates: Arc<[CertificateDer<'static>]>,
}

impl Roots {
    pub(super) fn load(&self) -> Result<Authorities, TlsProblem> {
        let file = match self {
            Self::File(file) => file,
            Self::System(parameter) => {
                return system().ok_or(TlsProblem::NoSystemRoots { parameter });
            }
        };
        let certificates = file.certificates()?;
        let mut store = RootCertStore::empty();
        for certificate in &certificates {
            store
                .add(certificate.clone())
                .map_err(|error| file.unusable(&error.to_string()))?;
        }
        Ok(Authorities {
            store: Arc::new(store),
            certificates: certificates.into(),
        })
    }
}

/// Reads the root certificates of the system, once: there are about 150.
fn system() -> Option<Authorities> {
    static SYSTEM: OnceLock<Option<Authorities>> = OnceLock::new();
    let loaded = SYSTEM.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::debug!(%error, "a root certificate of the system cannot be read");
        }
        let (mut store, mut certificates) = (RootCertStore::empty(), found.certs);
        // A store of a system always has certificates of old forms.
        certificates.retain(|certificate| store.add(certificate.clone()).is_ok());
        (!store.is_empty()).then(|| Authorities {
            store: Arc::new(store),
            certificates: certificates.into(),
        })
    });
    loaded.clone()
}

impl IdentityFiles {
    pub(super) fn load(&self) -> Result<Identity, TlsProblem> {
        let certificates = self.certificate.certificates()?;
        let chain = self.certificate.read()?;
        let bytes = self.key.read()?;
        let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
            let is_encrypted = String::from_utf8_lossy(&bytes).contains("ENCRYPTED");
            self.key.unusable(&match is_encrypted {
                true => "the key is encrypted: decrypt it (`openssl pkey`)".to_owned(),
                false => format!("it has no private key in PEM ({error})"),
            })
        })?;
        Ok(Identity {
            certificates,
            chain,
            key,
        })
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

#[cfg(feature = "mysql")]
impl Identity {
    /// Returns the key in PKCS#1, the only form that the driver of MySQL reads. `None` if it is not of RSA.
    pub(crate) fn rsa_key(&self) -> Option<&[u8]> {
        match &self.key {
            PrivateKeyDer::Pkcs1(key) => Some(key.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(key) => rsa_inside(key.secret_pkcs8_der()),
            _ => None,
        }
    }
}

/// Returns the key in PKCS#1 inside of one in PKCS#8: a version, an algorithm, and the key as a string of bytes.
#[cfg(feature = "mysql")]
fn rsa_inside(pkcs8: &[u8]) -> Option<&[u8]> {
    /// The object identifier of RSA.
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

    let (content, _) = value(pkcs8, 0x30)?;
    let (_version, rest) = value(content, 0x02)?;
    let (algorithm, rest) = value(rest, 0x30)?;
    let (identifier, _) = value(algorithm, 0x06)?;
    let (key, _) = value(rest, 0x04)?;
    (identifier == RSA).then_some(key)
}

/// Reads a value of DER with this tag, and returns its content and what follows it.
#[cfg(feature = "mysql")]
fn value(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let add = |sum: usize, digit: &u8| sum << 8 | usize::from(*digit);
            (digits.iter().fold(0, add), rest)
        }
        _ => return None,
    };
    (found == tag)
        .then(|| rest.split_at_checked(length))
        .flatten()
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
