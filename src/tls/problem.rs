//! Mistakes in the TLS parameters of a URL. No message repeats a value of the URL, except the path of a file.

use std::path::PathBuf;

/// A mistake in the TLS parameters of a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsProblem {
    /// The URL requires TLS, and the program was built without it.
    #[error(
        "`{parameter}` requires TLS, which this program was built without: turn on the feature `tls` of diesel-binds, or open \
         the connections yourself, with `Source::setup(..)` or a pool of your own"
    )]
    NotBuilt {
        /// The parameter.
        parameter: &'static str,
    },
    /// The value of a parameter is not one of those that exist.
    #[error("the value of `{parameter}` is none of {expected}")]
    UnknownValue {
        /// The parameter.
        parameter: &'static str,
        /// The values that exist.
        expected: &'static str,
    },
    /// A parameter of other clients is not supported.
    #[error("`{parameter}` is not supported: {remedy}")]
    Unsupported {
        /// The parameter.
        parameter: &'static str,
        /// The remedy.
        remedy: &'static str,
    },
    /// A parameter is given twice, under one name or two.
    #[error("{}", repeated(first, second))]
    Repeated {
        /// Its name at the first place.
        first: &'static str,
        /// Its name at the second place.
        second: &'static str,
    },
    /// Two parameters contradict each other, or one has no effect beside the other.
    #[error("`{parameter}` contradicts `{with}`: {remedy}")]
    Conflict {
        /// The parameter.
        parameter: &'static str,
        /// The other one, which may have its default.
        with: &'static str,
        /// The remedy.
        remedy: &'static str,
    },
    /// A parameter needs another one.
    #[error("`{parameter}` needs `{missing}`")]
    Incomplete {
        /// The parameter, or its value.
        parameter: &'static str,
        /// The one that is missing.
        missing: &'static str,
    },
    /// The certificate is to be verified for the host, and the URL names only an address.
    #[error(
        "`verify-full` verifies that the certificate of the server is for the host of the URL, which has only an address \
         (`hostaddr`): add `host=`, or use `verify-ca`"
    )]
    NoHostName,
    /// A file cannot be used.
    #[error("`{}`, named by `{parameter}`, cannot be used: {reason}", path.display())]
    File {
        /// The parameter that names it.
        parameter: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The system has no root certificates.
    #[error(
        "this system has no root certificates: install them (the package `ca-certificates`), or name a file with \
         `{parameter}`"
    )]
    NoSystemRoots {
        /// The parameter that names a file.
        parameter: &'static str,
    },
}

fn repeated(first: &str, second: &str) -> String {
    match first == second {
        true => format!("`{first}` is given twice"),
        false => format!("`{first}` and `{second}` are one parameter, and both are given"),
    }
}
