//! Mistakes in what a URL says about TLS: each has an error that names the parameter.

use diesel::ConnectionError;
use diesel_binds::build::{BuildProblem, FromUrl};
use diesel_binds::config::{TlsProblem, UrlProblem};
use diesel_binds::{Bind, Binds, Source};

use crate::registry::binds::{Accounts, Ledger};

/// Returns the mistake that `build()` finds in a URL.
fn problem<B: Bind<Connection: FromUrl> + Default>(url: &str) -> Option<TlsProblem> {
    let built = Binds::builder()
        .bind(B::default(), Source::url(url))
        .build();
    match built.err()?.problems() {
        [
            BuildProblem::Url {
                problem: UrlProblem::Tls(problem),
                ..
            },
        ] => Some(problem.clone()),
        other => panic!("{url}: {other:?}"),
    }
}

fn postgres(parameters: &str) -> Option<TlsProblem> {
    let words = format!(
        "host=db.example dbname=app {}",
        parameters.replace('&', " ")
    );
    let by_words = problem::<Accounts>(&words);
    let url = problem::<Accounts>(&format!("postgres://app@db.example/app?{parameters}"));
    assert_eq!(by_words, url, "{parameters}");
    url
}

fn mysql(parameters: &str) -> Option<TlsProblem> {
    problem::<Ledger>(&format!("mysql://app@db.example/app?{parameters}"))
}

/// Returns the words of a mistake.
fn text_of(problem: Option<TlsProblem>) -> String {
    problem.map_or_else(|| "no mistake".into(), |problem| problem.to_string())
}

#[tokio::test]
async fn modes_without_a_need_for_tls_are_accepted() {
    for accepted in [
        "sslmode=disable",
        "sslmode=prefer",
        "channel_binding=prefer",
        "sslmode=disable&channel_binding=disable&sslnegotiation=postgres",
    ] {
        assert_eq!(postgres(accepted), None, "{accepted}");
    }
    for name in ["ssl-mode", "ssl_mode", "sslmode", "sslMode"] {
        for value in ["DISABLED", "disabled", "Disable", "PREFERRED", "prefer"] {
            assert_eq!(mysql(&format!("{name}={value}")), None, "{name}={value}");
        }
    }
    assert_eq!(mysql("require_ssl=false"), None);
    // As in libpq: a Unix socket has no TLS.
    let socket = "host=/var/run/postgresql dbname=app sslmode=require";
    assert_eq!(problem::<Accounts>(socket), None);
}

#[test]
fn unknown_values_are_refused_with_the_known_ones() {
    for parameters in [
        "sslmode=allow",
        "sslmode=",
        "sslmode=REQUIRE",
        "sslmode=verify_full",
    ] {
        assert_eq!(
            text_of(postgres(parameters)),
            "the value of `sslmode` is none of `disable`, `prefer`, `require`, `verify-ca`, `verify-full`",
            "{parameters}"
        );
    }
    let others = [
        ("channel_binding", "`disable`, `prefer`, `require`"),
        ("sslnegotiation", "`postgres`, `direct`"),
    ];
    for (name, expected) in others {
        assert_eq!(
            text_of(postgres(&format!("sslmode=disable&{name}=maybe"))),
            format!("the value of `{name}` is none of {expected}")
        );
    }
    assert_eq!(
        text_of(mysql("ssl_mode=allow")),
        "the value of `ssl_mode` is none of `DISABLED`, `PREFERRED`, `REQUIRED`, `VERIFY_CA`, `VERIFY_IDENTITY`"
    );
    for name in [
        "require_ssl",
        "verify_ca",
        "verify_identity",
        "built_in_roots",
    ] {
        assert_eq!(
            text_of(mysql(&format!("{name}=yes"))),
            format!("the value of `{name}` is none of `true`, `false`")
        );
    }
}

#[test]
fn each_name_of_a_parameter_counts_as_the_parameter() {
    let parameters = [
        ["ssl-mode", "ssl_mode", "sslmode", "sslMode"],
        ["ssl-ca", "ssl_ca", "sslca", "sslrootcert"],
        ["ssl-cert", "ssl_cert", "sslcert", "sslcert"],
        ["ssl-key", "ssl_key", "sslkey", "sslkey"],
    ];
    for names in parameters {
        for first in names {
            for second in names {
                let expected = match first == second {
                    true => format!("`{first}` is given twice"),
                    false => {
                        format!("`{first}` and `{second}` are one parameter, and both are given")
                    }
                };
                assert_eq!(text_of(mysql(&format!("{first}=x&{second}=x"))), expected);
            }
        }
    }
    for (name, value) in [
        ("sslmode", "require"),
        ("sslrootcert", "x"),
        ("sslcert", "x"),
        ("sslkey", "x"),
        ("channel_binding", "prefer"),
        ("sslnegotiation", "direct"),
    ] {
        assert_eq!(
            text_of(postgres(&format!("{name}={value}&{name}={value}"))),
            format!("`{name}` is given twice")
        );
    }
    // A password with the text of a parameter is a password.
    let passwords = [
        "postgres://app:x?sslmode=require@db.example/app",
        "host=db.example password='sslmode=require'",
    ];
    for url in passwords {
        assert_eq!(problem::<Accounts>(url), None, "{url}");
    }
}

#[test]
fn parameters_that_contradict_each_other_are_refused() {
    for (parameters, expected) in [
        (
            "channel_binding=require",
            "`channel_binding` contradicts `sslmode`: use `sslmode=require` or stricter",
        ),
        (
            "sslmode=prefer&sslnegotiation=direct",
            "`sslnegotiation` contradicts `sslmode`: use `sslmode=require` or stricter",
        ),
        (
            "sslrootcert=/x",
            "`sslrootcert` contradicts `sslmode`: root certificates are used from `require` on",
        ),
        (
            "sslmode=disable&sslrootcert=/x",
            "`sslrootcert` contradicts `sslmode`: root certificates are used from `require` on",
        ),
        (
            "sslmode=disable&sslcert=/x&sslkey=/y",
            "`sslcert` contradicts `sslmode`: a certificate is sent with TLS only",
        ),
        (
            "sslmode=require&sslrootcert=system",
            "`sslrootcert` contradicts `sslmode`: anyone can get a certificate from a public authority, so only its host \
             proves anything: use `verify-full`",
        ),
    ] {
        assert_eq!(text_of(postgres(parameters)), expected, "{parameters}");
    }
    for (parameters, expected) in [
        (
            "ssl-mode=REQUIRED&ssl-ca=/x",
            "`ssl-ca` contradicts `ssl-mode`: root certificates are used from `VERIFY_CA` on",
        ),
        (
            "ssl-mode=VERIFY_CA&ssl-ca=system",
            "`ssl-ca` contradicts `ssl-mode`: anyone can get a certificate from a public authority, so only its host \
             proves anything: use `VERIFY_IDENTITY`",
        ),
        (
            "ssl-mode=REQUIRED&require_ssl=true",
            "`require_ssl` contradicts `ssl-mode`: use `ssl-mode` alone",
        ),
        (
            "sslMode=REQUIRED&verify_ca=false",
            "`verify_ca` contradicts `sslMode`: use `ssl-mode` alone",
        ),
    ] {
        assert_eq!(text_of(mysql(parameters)), expected, "{parameters}");
    }
}

#[test]
fn parameters_that_need_another_are_refused_alone() {
    for (parameters, expected) in [
        ("sslmode=require&sslcert=/x", "`sslcert` needs `sslkey`"),
        ("sslmode=require&sslkey=/x", "`sslkey` needs `sslcert`"),
        ("sslmode=verify-ca", "`verify-ca` needs `sslrootcert`"),
    ] {
        assert_eq!(text_of(postgres(parameters)), expected, "{parameters}");
    }
    for (parameters, expected) in [
        (
            "ssl-mode=REQUIRED&ssl-cert=/x",
            "`ssl-cert` needs `ssl-key`",
        ),
        ("ssl-mode=REQUIRED&ssl_key=/x", "`ssl_key` needs `ssl_cert`"),
        ("ssl-mode=VERIFY_CA", "`VERIFY_CA` needs `ssl-ca`"),
        (
            "require_ssl=true&verify_identity=false",
            "`VERIFY_CA` needs `ssl-ca`",
        ),
    ] {
        assert_eq!(text_of(mysql(parameters)), expected, "{parameters}");
    }
    let address = problem::<Accounts>("hostaddr=10.0.0.7 dbname=app sslmode=verify-full");
    assert_eq!(address, Some(TlsProblem::NoHostName));
}

#[test]
fn parameters_of_other_clients_are_refused_with_what_to_do() {
    for (name, remedy) in [
        ("sslpassword", "openssl pkey"),
        ("sslcrl", "revocation lists are not read"),
        ("sslcrldir", "revocation lists are not read"),
        ("sslsni", "the name of the host is always sent"),
        ("sslcompression", "leave it out"),
        ("sslcertmode", "`sslcert`"),
        ("ssl_min_protocol_version", "1.2 or 1.3"),
        ("ssl_max_protocol_version", "1.2 or 1.3"),
        ("requiressl", "use `sslmode=require`"),
        ("ssl", "use `sslmode=require`"),
        ("gssencmode", "`sslmode`"),
    ] {
        let message = text_of(postgres(&format!("sslmode=disable&{name}=x")));
        let begin = format!("`{name}` is not supported: ");
        assert!(
            message.starts_with(&begin) && message.contains(remedy),
            "{message}"
        );
    }
    for (name, remedy) in [
        ("tls", "use `ssl-mode`"),
        ("ssl", "use `ssl-mode`"),
        ("useSSL", "use `ssl-mode`"),
        ("requireSSL", "use `ssl-mode`"),
        ("verifyServerCertificate", "use `ssl-mode`"),
        ("sslaccept", "use `ssl-mode`"),
        ("ssl-capath", "`ssl-ca`"),
        ("ssl_capath", "`ssl-ca`"),
        ("ssl-cipher", "leave it out"),
        ("ssl_cipher", "leave it out"),
        ("tls-version", "1.2 or 1.3"),
        ("tls_version", "1.2 or 1.3"),
    ] {
        let message = text_of(mysql(&format!("{name}=x")));
        let begin = format!("`{name}` is not supported: ");
        assert!(
            message.starts_with(&begin) && message.contains(remedy),
            "{message}"
        );
    }
    assert_eq!(
        text_of(mysql("require_ssl=true&built_in_roots=false")),
        "`built_in_roots` is not supported: name the root certificates with `ssl-ca`"
    );
}

#[tokio::test]
async fn encrypted_connections_are_accepted_in_each_spelling() {
    for parameters in [
        "sslmode=require",
        "sslmode=verify-full",
        "sslmode=require&channel_binding=require",
        "sslmode=require&sslnegotiation=direct",
        "sslmode=verify-full&sslrootcert=system",
        "sslrootcert=system",
    ] {
        assert_eq!(postgres(parameters), None, "{parameters}");
    }
    for parameters in [
        "ssl-mode=Required",
        "sslMode=VERIFY-IDENTITY",
        "ssl_mode=verify_full",
        "sslca=system",
        "require_ssl=true",
        "require_ssl=true&verify_ca=false",
    ] {
        assert_eq!(mysql(parameters), None, "{parameters}");
    }
    for name in ["ssl-ca", "ssl_ca", "sslca", "sslrootcert"] {
        let message = text_of(mysql(&format!("{name}=/no/file")));
        assert!(
            message.starts_with(&format!("`/no/file`, named by `{name}`, cannot be used")),
            "{message}"
        );
    }
    for parameters in [
        "sslmode=verify-ca&sslrootcert=/no/file",
        "sslmode=require&sslrootcert=/no/file",
    ] {
        let message = text_of(postgres(parameters));
        assert!(
            message.starts_with("`/no/file`, named by `sslrootcert`, cannot be used"),
            "{message}"
        );
    }
}

#[test]
fn tls_parameters_of_a_url_are_left_to_a_set_up_of_the_application() {
    for parameters in [
        "sslmode=require",
        "sslmode=verify-full",
        "sslmode=verify-ca&sslcrl=x",
    ] {
        let source = Source::url(format!("postgres://app@db.example/app?{parameters}"));
        let source = source
            .setup(|_| Box::pin(async { Err(ConnectionError::BadConnection("with TLS".into())) }));
        let built = Binds::builder().bind(Accounts, source).build();
        assert!(built.is_ok(), "{parameters}: {built:?}");
    }
}
