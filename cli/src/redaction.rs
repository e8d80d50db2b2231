//! Keeps URLs and their passwords out of the output of other programs.

use percent_encoding::percent_decode_str;

/// The secrets that must not be printed, and their replacements.
#[derive(Clone, Debug, Default)]
pub(crate) struct Redaction(Vec<(String, String)>);

impl Redaction {
    /// Hides the URL in this variable, and its passwords.
    pub(crate) fn of(variable: &str, url: &str) -> Self {
        let mut hidden = Vec::new();
        if !url.contains("://") {
            // A path of a file has no secret.
            return Self(hidden);
        }
        hidden.push((url.to_owned(), format!("${variable}")));
        for secret in secrets(url) {
            let decoded = percent_decode_str(&secret).decode_utf8_lossy().into_owned();
            for form in [secret, decoded] {
                if !form.is_empty() {
                    hidden.push((form, "***".to_owned()));
                }
            }
        }
        // The longest first, because one secret may be part of another.
        hidden.sort_by_key(|(secret, _)| std::cmp::Reverse(secret.len()));
        hidden.dedup();
        Self(hidden)
    }

    pub(crate) fn apply(&self, text: &str) -> String {
        self.0
            .iter()
            .fold(text.to_owned(), |text, (secret, shown)| {
                text.replace(secret, shown)
            })
    }
}

/// Returns the passwords of a URL, in its own spelling.
fn secrets(url: &str) -> Vec<String> {
    let mut secrets = Vec::new();
    let after = url.split_once("://").map_or(url, |(_, after)| after);
    let (place, query) = after.split_once('?').unwrap_or((after, ""));
    // A password that is not percent-encoded may contain a slash, a colon or an `@`.
    if let Some((user, _)) = place.rsplit_once('@')
        && let Some((_, password)) = user.split_once(':')
    {
        secrets.push(password.to_owned());
    }
    for pair in query.split('&') {
        if let Some((name, value)) = pair.split_once('=')
            && name.contains("password")
        {
            secrets.push(value.to_owned());
        }
    }
    secrets
}

#[cfg(test)]
mod tests {
    use super::Redaction;

    #[test]
    fn neither_the_url_nor_its_password_is_left() {
        for (url, said) in [
            (
                "mysql://app:unseen@db/app",
                "via `mysql://app:unseen@db/app`: no",
            ),
            (
                "mysql://app:unseen@db/app",
                "via `mysql://app:unseen@db/information_schema`: no",
            ),
            ("postgres://a:un%73een@b/c", "password `unseen` is wrong"),
            (
                "postgres://a:un%73een@b/c",
                "via `postgres://a:un%73een@b/postgres`",
            ),
            ("postgres://b/c?user=a&password=unseen", "`unseen`"),
            ("postgres://b/c?sslpassword=unseen", "`unseen`"),
            ("mysql://a:unseen@@b/c", "`unseen@`"),
            ("mysql://a:un/seen@b/c", "port `un/seen`"),
        ] {
            let shown = Redaction::of("A_DATABASE_URL", url).apply(said);
            for secret in ["unseen", "un%73een", "un/seen"] {
                assert!(!shown.contains(secret), "{url}: {shown}");
            }
        }
    }

    #[test]
    fn a_file_is_no_secret() {
        let redaction = Redaction::of("A_DATABASE_URL", "ledger.db");
        assert_eq!(redaction.apply("at ledger.db"), "at ledger.db");
    }
}
