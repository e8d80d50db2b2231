//! How the connections of one bind are encrypted: what its URL says, checked as far as that is possible without a server.

use std::net::IpAddr;

use crate::tls::mode::TlsMode;
use crate::tls::parameters::{Given, Parameter, Parameters};
use crate::tls::problem::TlsProblem;
#[cfg(feature = "tls")]
use crate::tls::{
    client::{Files, TlsClient},
    files::{IdentityFiles, NamedFile, Roots},
};

/// How the connections of one bind are encrypted.
#[derive(Clone, Debug)]
pub struct TlsSetting {
    pub(crate) mode: TlsMode,
    /// The host, if it may be another machine.
    pub(crate) remote: Option<String>,
    /// The client; `None` if connections are in the clear.
    #[cfg(feature = "tls")]
    pub(crate) client: Option<TlsClient>,
}

/// The host of a URL, as far as it matters to TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// A Unix socket of this machine, where TLS is neither needed nor used.
    Socket,
    /// A name or an address, for which a certificate may be made.
    Named(String),
    /// An address without a name (`hostaddr` of PostgreSQL).
    Unnamed(String),
}

impl Host {
    /// Returns the name or the address, unless it is that of this machine.
    fn remote(&self) -> Option<String> {
        let (Self::Named(name) | Self::Unnamed(name)) = self else {
            return None;
        };
        let is_loopback = match name.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => name.eq_ignore_ascii_case("localhost"),
        };
        (!is_loopback).then(|| name.clone())
    }
}

/// The words of one kind of server.
struct Words {
    mode: &'static str,
    modes: &'static str,
    roots: &'static str,
    verify_ca: &'static str,
    /// The remedy where a root certificate has no effect.
    unused_roots: &'static str,
    /// The remedy where the system's root certificates would prove nothing.
    weak_system: &'static str,
}

const POSTGRES: Words = Words {
    mode: "sslmode",
    modes: "`disable`, `prefer`, `require`, `verify-ca`, `verify-full`",
    roots: "sslrootcert",
    verify_ca: "verify-ca",
    unused_roots: "root certificates are used from `require` on",
    weak_system: "anyone can get a certificate from a public authority, so only its host proves anything: use `verify-full`",
};

const MYSQL: Words = Words {
    mode: "ssl-mode",
    modes: "`DISABLED`, `PREFERRED`, `REQUIRED`, `VERIFY_CA`, `VERIFY_IDENTITY`",
    roots: "ssl-ca",
    verify_ca: "VERIFY_CA",
    unused_roots: "root certificates are used from `VERIFY_CA` on",
    weak_system: "anyone can get a certificate from a public authority, so only its host proves anything: use \
                  `VERIFY_IDENTITY`",
};

impl TlsSetting {
    /// Returns the setting of a connection string of PostgreSQL. The rules are libpq's, where they are safe.
    pub(crate) fn of_postgres(given: &Parameters, host: &Host) -> Result<Self, TlsProblem> {
        let mode = match (given.get(Parameter::Mode), names_file(given)) {
            (Some(mode), names_file) => {
                match (named(mode, TlsMode::of_postgres, &POSTGRES)?, names_file) {
                    // libpq verifies the server if it has root certificates.
                    (TlsMode::Require, true) => TlsMode::VerifyCa,
                    (mode, _) => mode,
                }
            }
            (None, _) if names_system(given) => TlsMode::VerifyFull,
            (None, _) => TlsMode::Prefer,
        };
        for (parameter, needs_tls) in [
            (Parameter::ChannelBinding, "require"),
            (Parameter::Negotiation, "direct"),
        ] {
            if let Some(given) = given.get(parameter)
                && given.value == needs_tls
                && !mode.is_encrypted()
            {
                return Err(TlsProblem::Conflict {
                    parameter: given.name,
                    with: POSTGRES.mode,
                    remedy: "use `sslmode=require` or stricter",
                });
            }
        }
        if mode == TlsMode::VerifyFull && matches!(host, Host::Unnamed(_)) {
            return Err(TlsProblem::NoHostName);
        }
        Self::checked(mode, given, host, &POSTGRES)
    }

    /// Returns the setting of a URL of MySQL. The rules are those of its clients.
    pub(crate) fn of_mysql(given: &Parameters, host: &Host) -> Result<Self, TlsProblem> {
        let mode = match (given.get(Parameter::Mode), by_driver(given)?) {
            (Some(mode), None) => named(mode, TlsMode::of_mysql, &MYSQL)?,
            (Some(mode), Some((parameter, _))) => {
                return Err(TlsProblem::Conflict {
                    parameter,
                    with: mode.name,
                    remedy: "use `ssl-mode` alone",
                });
            }
            (None, Some((_, mode))) => mode,
            (None, None) if names_system(given) => TlsMode::VerifyFull,
            (None, None) if names_file(given) => TlsMode::VerifyCa,
            (None, None) => TlsMode::Prefer,
        };
        let setting = Self::checked(mode, given, host, &MYSQL)?;
        #[cfg(all(feature = "tls", feature = "mysql"))]
        if let (Some(client), Some(key)) = (&setting.client, given.get(Parameter::Key))
            && let Some(identity) = &client.material().identity
            && identity.rsa_key().is_none()
        {
            return Err(TlsProblem::Unsupported {
                parameter: key.name,
                remedy: "the driver of MySQL reads keys of RSA only",
            });
        }
        Ok(setting)
    }

    fn checked(
        mode: TlsMode,
        given: &Parameters,
        host: &Host,
        words: &Words,
    ) -> Result<Self, TlsProblem> {
        let conflict = |given: &Given, remedy| TlsProblem::Conflict {
            parameter: given.name,
            with: words.mode,
            remedy,
        };
        match given.get(Parameter::Roots) {
            Some(roots) if names_system(given) && mode != TlsMode::VerifyFull => {
                return Err(conflict(roots, words.weak_system));
            }
            Some(roots) if mode < TlsMode::VerifyCa => {
                return Err(conflict(roots, words.unused_roots));
            }
            None if mode == TlsMode::VerifyCa => {
                return Err(TlsProblem::Incomplete {
                    parameter: words.verify_ca,
                    missing: words.roots,
                });
            }
            _ => {}
        }
        match (given.get(Parameter::Certificate), given.get(Parameter::Key)) {
            (Some(certificate), Some(_)) if mode == TlsMode::Disable => {
                Err(conflict(certificate, "a certificate is sent with TLS only"))
            }
            (Some(only), None) | (None, Some(only)) => Err(TlsProblem::Incomplete {
                parameter: only.name,
                missing: partner(only.name),
            }),
            _ if *host == Host::Socket => Self::built(TlsMode::Disable, given, host, words),
            _ => Self::built(mode, given, host, words),
        }
    }

    #[cfg(feature = "tls")]
    fn built(
        mode: TlsMode,
        given: &Parameters,
        host: &Host,
        words: &Words,
    ) -> Result<Self, TlsProblem> {
        let file = |given: &Given| NamedFile {
            parameter: given.name,
            path: given.value.clone().into(),
        };
        let roots = match given.get(Parameter::Roots) {
            Some(given) if given.value == SYSTEM => Some(Roots::System(given.name)),
            Some(given) => Some(Roots::File(file(given))),
            // libpq looks for a file in the home of its user here, which a service rarely has.
            None if mode == TlsMode::VerifyFull => Some(Roots::System(words.roots)),
            None => None,
        };
        let identity = given
            .get(Parameter::Certificate)
            .zip(given.get(Parameter::Key));
        let files = Files {
            mode,
            roots,
            identity: identity.map(|(certificate, key)| IdentityFiles {
                certificate: file(certificate),
                key: file(key),
            }),
        };
        let client = match mode {
            TlsMode::Disable => None,
            _ => Some(TlsClient::new(files)?),
        };
        Ok(Self {
            mode,
            remote: host.remote(),
            client,
        })
    }

    #[cfg(not(feature = "tls"))]
    fn built(
        mode: TlsMode,
        given: &Parameters,
        host: &Host,
        words: &Words,
    ) -> Result<Self, TlsProblem> {
        let requires = |parameter| Err(TlsProblem::NotBuilt { parameter });
        if mode.is_encrypted() {
            let given = given.first_of(&[Parameter::Mode, Parameter::RequireSsl, Parameter::Roots]);
            return requires(given.map_or(words.mode, |given| given.name));
        }
        match given.get(Parameter::Certificate) {
            Some(certificate) if mode == TlsMode::Prefer => requires(certificate.name),
            _ => Ok(Self {
                mode,
                remote: host.remote(),
            }),
        }
    }
}

fn named(
    given: &Given,
    of: fn(&str) -> Option<TlsMode>,
    words: &Words,
) -> Result<TlsMode, TlsProblem> {
    of(&given.value).ok_or(TlsProblem::UnknownValue {
        parameter: given.name,
        expected: words.modes,
    })
}

/// Returns whether the root certificates are those of the system.
fn names_system(given: &Parameters) -> bool {
    let roots = given.get(Parameter::Roots);
    roots.is_some_and(|roots| roots.value == SYSTEM)
}

/// Returns whether the root certificates are in a file.
fn names_file(given: &Parameters) -> bool {
    given.get(Parameter::Roots).is_some() && !names_system(given)
}

const SYSTEM: &str = "system";

/// Returns the name of the key in the spelling of the certificate, or the other way round.
fn partner(name: &str) -> &'static str {
    match name {
        "ssl-cert" => "ssl-key",
        "ssl_cert" => "ssl_key",
        "sslcert" => "sslkey",
        "ssl-key" => "ssl-cert",
        "ssl_key" => "ssl_cert",
        _ => "sslcert",
    }
}

/// Returns the mode in the words of the driver of MySQL, with the name of one of them. `require_ssl` verifies everything
/// unless `verify_ca` or `verify_identity` is false.
fn by_driver(given: &Parameters) -> Result<Option<(&'static str, TlsMode)>, TlsProblem> {
    let flag = |parameter, default| match given.get(parameter) {
        None => Ok(default),
        Some(given) => given.value.parse().map_err(|_| TlsProblem::UnknownValue {
            parameter: given.name,
            expected: "`true`, `false`",
        }),
    };
    let mode = match (
        flag(Parameter::RequireSsl, false)?,
        flag(Parameter::VerifyCa, true)?,
        flag(Parameter::VerifyIdentity, true)?,
    ) {
        (false, _, _) => TlsMode::Disable,
        (true, false, _) => TlsMode::Require,
        (true, true, false) => TlsMode::VerifyCa,
        (true, true, true) => TlsMode::VerifyFull,
    };
    if !flag(Parameter::BuiltInRoots, true)? {
        return Err(TlsProblem::Unsupported {
            parameter: "built_in_roots",
            remedy: "name the root certificates with `ssl-ca`",
        });
    }
    let first = given.first_of(&[
        Parameter::RequireSsl,
        Parameter::VerifyCa,
        Parameter::VerifyIdentity,
        Parameter::BuiltInRoots,
    ]);
    Ok(first.map(|first| (first.name, mode)))
}
