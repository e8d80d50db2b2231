//! The parameters about TLS in a URL, and the URL without them, as its driver reads it.

use percent_encoding::percent_decode_str;
use url::{Position, Url};

use crate::tls::problem::TlsProblem;

/// A parameter, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parameter {
    Mode,
    Roots,
    Certificate,
    Key,
    ChannelBinding,
    Negotiation,
    // The words of the driver of MySQL.
    RequireSsl,
    VerifyCa,
    VerifyIdentity,
    BuiltInRoots,
}

/// The parameters that a URL has.
#[derive(Debug, Default)]
pub(crate) struct Parameters(Vec<Given>);

/// A parameter as it was given.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) parameter: Parameter,
    pub(super) name: &'static str,
    pub(super) value: String,
}

/// The names of parameters in the URLs of one kind of server.
struct Names {
    known: &'static [(&'static str, Parameter)],
    /// The names that only other clients know, each with the remedy.
    unsupported: &'static [(&'static str, &'static str)],
}

const POSTGRES: Names = Names {
    known: &[
        ("sslmode", Parameter::Mode),
        ("sslrootcert", Parameter::Roots),
        ("sslcert", Parameter::Certificate),
        ("sslkey", Parameter::Key),
        ("channel_binding", Parameter::ChannelBinding),
        ("sslnegotiation", Parameter::Negotiation),
    ],
    unsupported: &[
        ("sslpassword", DECRYPT),
        ("sslcrl", "revocation lists are not read; leave it out"),
        ("sslcrldir", "revocation lists are not read; leave it out"),
        (
            "sslsni",
            "the name of the host is always sent; leave it out",
        ),
        ("sslcompression", "leave it out"),
        (
            "sslcertmode",
            "a certificate is sent if `sslcert` names one; leave it out",
        ),
        ("ssl_min_protocol_version", VERSIONS),
        ("ssl_max_protocol_version", VERSIONS),
        ("requiressl", "use `sslmode=require`"),
        ("ssl", "use `sslmode=require`"),
        ("gssencmode", "leave it out, or use `sslmode`"),
    ],
};

const MYSQL: Names = Names {
    known: &[
        ("ssl-mode", Parameter::Mode),
        ("ssl_mode", Parameter::Mode),
        ("sslmode", Parameter::Mode),
        ("sslMode", Parameter::Mode),
        ("ssl-ca", Parameter::Roots),
        ("ssl_ca", Parameter::Roots),
        ("sslca", Parameter::Roots),
        ("sslrootcert", Parameter::Roots),
        ("ssl-cert", Parameter::Certificate),
        ("ssl_cert", Parameter::Certificate),
        ("sslcert", Parameter::Certificate),
        ("ssl-key", Parameter::Key),
        ("ssl_key", Parameter::Key),
        ("sslkey", Parameter::Key),
        ("require_ssl", Parameter::RequireSsl),
        ("verify_ca", Parameter::VerifyCa),
        ("verify_identity", Parameter::VerifyIdentity),
        ("built_in_roots", Parameter::BuiltInRoots),
    ],
    unsupported: &[
        ("tls", MODE),
        ("ssl", MODE),
        ("useSSL", MODE),
        ("requireSSL", MODE),
        ("verifyServerCertificate", MODE),
        ("sslaccept", MODE),
        ("ssl-capath", "name one file with `ssl-ca`"),
        ("ssl_capath", "name one file with `ssl-ca`"),
        ("ssl-cipher", "leave it out"),
        ("ssl_cipher", "leave it out"),
        ("tls-version", VERSIONS),
        ("tls_version", VERSIONS),
    ],
};

const DECRYPT: &str = "decrypt the key (`openssl pkey`), and protect its file by its permissions";
const MODE: &str = "use `ssl-mode`";
const VERSIONS: &str = "the version of TLS is 1.2 or 1.3; leave it out";

/// Takes the parameters out of a connection string of PostgreSQL: a URL, or keywords and values.
pub(crate) fn of_postgres(url: &str) -> Result<(String, Parameters), TlsProblem> {
    let prefixes = ["postgres://", "postgresql://"];
    let Some(prefix) = prefixes.iter().find(|prefix| url.starts_with(**prefix)) else {
        return of_keywords(url);
    };
    // For the driver, the credentials end at the first `@`. A password may contain a question mark.
    let host = url.find('@').map_or(prefix.len(), |at| at + 1);
    match url[host..].find('?') {
        Some(at) => of_query(&POSTGRES, &url[..host + at], &url[host + at + 1..]),
        None => Ok((url.to_owned(), Parameters::default())),
    }
}

/// Takes the parameters out of a URL of MySQL. A URL that cannot be parsed is left to the driver, which refuses it.
pub(crate) fn of_mysql(text: &str) -> Result<(String, Parameters), TlsProblem> {
    let url = Url::parse(text).ok();
    match url.as_ref().and_then(|url| Some((url, url.query()?))) {
        Some((url, query)) => of_query(&MYSQL, &url[..Position::AfterPath], query),
        None => Ok((text.to_owned(), Parameters::default())),
    }
}

fn of_query(names: &Names, place: &str, query: &str) -> Result<(String, Parameters), TlsProblem> {
    let (mut found, mut rest) = (Parameters::default(), Vec::new());
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if found.takes(names, &decoded(name), decoded(value))? {
            rest.push(pair);
        }
    }
    let separator = if rest.is_empty() { "" } else { "?" };
    Ok((format!("{place}{separator}{}", rest.join("&")), found))
}

/// Takes the parameters out of keywords and values. Text that cannot be read is left to the driver, which refuses it.
fn of_keywords(text: &str) -> Result<(String, Parameters), TlsProblem> {
    let (mut found, mut left, mut rest) = (Parameters::default(), String::new(), text);
    while let Some((name, value, end)) = pair(rest) {
        if found.takes(&POSTGRES, name, value)? {
            left.push_str(&rest[..end]);
        }
        rest = &rest[end..];
    }
    left.push_str(rest);
    Ok((left, found))
}

/// Reads a keyword and its value, which may be in quotes, and returns where they end. The rules are those of the driver.
fn pair(text: &str) -> Option<(&str, String, usize)> {
    let (name, after) = text.split_once('=')?;
    let name = name.trim();
    if name.is_empty() || name.contains(char::is_whitespace) {
        return None;
    }
    let after = after.trim_start();
    let start = text.len() - after.len();
    let is_quoted = after.starts_with('\'');
    let mut value = String::new();
    let mut characters = after.char_indices().skip(usize::from(is_quoted));
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' if is_quoted => return Some((name, value, start + at + 1)),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            _ if !is_quoted && character.is_whitespace() => return Some((name, value, start + at)),
            _ => value.push(character),
        }
    }
    (!is_quoted).then_some((name, value, text.len()))
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

impl Parameters {
    pub(super) fn get(&self, parameter: Parameter) -> Option<&Given> {
        self.0.iter().find(|given| given.parameter == parameter)
    }

    /// Returns the first of these parameters that is given.
    pub(super) fn first_of(&self, parameters: &[Parameter]) -> Option<&Given> {
        parameters.iter().find_map(|parameter| self.get(*parameter))
    }

    /// Takes a parameter if it is about TLS, and returns whether the driver shall read it.
    fn takes(&mut self, names: &Names, name: &str, value: String) -> Result<bool, TlsProblem> {
        if let Some((parameter, remedy)) =
            names.unsupported.iter().find(|(known, _)| *known == name)
        {
            return Err(TlsProblem::Unsupported { parameter, remedy });
        }
        let Some((name, parameter)) = names.known.iter().find(|(known, _)| *known == name) else {
            return Ok(true);
        };
        let (name, parameter) = (*name, *parameter);
        // The driver reads these two itself, and does not tell which of its parameters is wrong.
        let (is_for_driver, values, expected) = match parameter {
            Parameter::ChannelBinding => (
                true,
                ["disable", "prefer", "require"].as_slice(),
                "`disable`, `prefer`, `require`",
            ),
            Parameter::Negotiation => (
                true,
                ["postgres", "direct"].as_slice(),
                "`postgres`, `direct`",
            ),
            _ => (false, [].as_slice(), ""),
        };
        if is_for_driver && !values.contains(&&*value) {
            return Err(TlsProblem::UnknownValue {
                parameter: name,
                expected,
            });
        }
        if let Some(first) = self.get(parameter) {
            let (first, second) = (first.name, name);
            return Err(TlsProblem::Repeated { first, second });
        }
        self.0.push(Given {
            parameter,
            name,
            value,
        });
        Ok(is_for_driver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(found: &Parameters) -> Option<&str> {
        found.get(Parameter::Mode).map(|mode| &*mode.value)
    }

    #[test]
    fn the_driver_gets_the_rest_of_the_url() {
        for (url, left, given) in [
            (
                "postgres://a@b/c?sslmode=verify-full",
                "postgres://a@b/c",
                Some("verify-full"),
            ),
            (
                "postgres://a@b/c?x=1&sslmode=require&y=2",
                "postgres://a@b/c?x=1&y=2",
                Some("require"),
            ),
            (
                "postgres://b/c?ss%6Cmode=verify%2Dca",
                "postgres://b/c",
                Some("verify-ca"),
            ),
            (
                "postgres://a:p?sslmode=x@b/c",
                "postgres://a:p?sslmode=x@b/c",
                None,
            ),
            (
                "host=b sslmode=require user=a",
                "host=b user=a",
                Some("require"),
            ),
            (
                "host=b password='sslmode=x' sslmode = 'verify-ca'",
                "host=b password='sslmode=x'",
                Some("verify-ca"),
            ),
            (
                "host=b password=it\\ is sslmode=disable",
                "host=b password=it\\ is",
                Some("disable"),
            ),
            ("host=b password='x", "host=b password='x", None),
        ] {
            let (found_left, found) = of_postgres(url).unwrap();
            assert_eq!(found_left, left, "{url}");
            assert_eq!(mode(&found), given, "{url}");
        }
    }

    #[test]
    fn a_password_of_mysql_keeps_its_spelling() {
        let url = "mysql://a:p%40%2F@b/c?ssl-mode=REQUIRED&prefer_socket=false";
        let (left, found) = of_mysql(url).unwrap();
        assert_eq!(left, "mysql://a:p%40%2F@b/c?prefer_socket=false");
        assert_eq!(mode(&found), Some("REQUIRED"));
    }
}
