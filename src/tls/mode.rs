//! The modes of TLS, in the words of libpq and of MySQL.

/// How strictly a connection is encrypted. Each mode guarantees what the one before it does, and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TlsMode {
    /// In the clear.
    Disable,
    /// Encrypted if the server offers it, otherwise in the clear. The server is not verified.
    Prefer,
    /// Encrypted. The server is not verified.
    Require,
    /// Encrypted, and an authority that the URL names has signed the certificate of the server.
    VerifyCa,
    /// Encrypted, and an authority has signed the certificate of the server for the host that the URL names.
    VerifyFull,
}

impl TlsMode {
    /// Returns the mode of a word of libpq.
    pub(super) fn of_postgres(word: &str) -> Option<Self> {
        Some(match word {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return None,
        })
    }

    /// Returns the mode of a word of MySQL, in any case, with `-` or `_`. The words of libpq mean the same.
    pub(super) fn of_mysql(word: &str) -> Option<Self> {
        Some(match &*word.to_ascii_lowercase().replace('_', "-") {
            "disabled" => Self::Disable,
            "preferred" => Self::Prefer,
            "required" => Self::Require,
            "verify-identity" => Self::VerifyFull,
            other => return Self::of_postgres(other),
        })
    }

    /// Returns whether a connection is never in the clear.
    pub(crate) fn is_encrypted(self) -> bool {
        self >= Self::Require
    }
}
