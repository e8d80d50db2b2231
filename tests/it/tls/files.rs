//! The files that a URL names: each mistake is an error of `build()`, and a change is followed.

use std::fs;
use std::path::Path;

use diesel_binds::build::BuildProblem;
use diesel_binds::config::{TlsProblem, UrlProblem};
use diesel_binds::{Binds, Source};
use kit::certificates::Certificates;

use crate::registry::binds::Accounts;

/// Returns the text of the mistake that `build()` finds in these parameters.
fn told(parameters: &str) -> String {
    let url = format!("postgres://app@db.example/app?{parameters}");
    let built = Binds::builder().bind(Accounts, Source::url(url)).build();
    let Err(error) = built else {
        return "no mistake".into();
    };
    match error.problems() {
        [
            BuildProblem::Url {
                problem: UrlProblem::Tls(problem),
                ..
            },
        ] => {
            assert!(matches!(problem, TlsProblem::File { .. }), "{problem:?}");
            problem.to_string()
        }
        other => panic!("{other:?}"),
    }
}

fn identity(certificate: &Path, key: &Path) -> String {
    let (certificate, key) = (certificate.display(), key.display());
    format!("sslmode=require&sslcert={certificate}&sslkey={key}")
}

#[tokio::test]
async fn each_mistake_of_a_file_is_found_by_build() {
    let folder = tempfile::tempdir().unwrap();
    let made = Certificates::make(folder.path(), "app");
    let (certificate, key) = (made.certificate("client"), made.key("client"));
    assert_eq!(told(&identity(&certificate, &key)), "no mistake");

    let roots = |path: &Path| format!("sslmode=verify-ca&sslrootcert={}", path.display());
    let path = |name: &str| folder.path().join(name);
    let missing = path("missing");
    assert_eq!(
        told(&roots(&missing)),
        format!(
            "`{}`, named by `sslrootcert`, cannot be used: No such file or directory (os error 2)",
            missing.display()
        )
    );
    assert!(told(&roots(folder.path())).contains("cannot be used: Is a directory"));
    assert!(told(&roots(&key)).ends_with("cannot be used: it has no certificate"));
    assert!(
        told(&identity(&missing, &key))
            .contains("named by `sslcert`, cannot be used: No such file")
    );
    assert!(
        told(&identity(&certificate, &missing))
            .contains("named by `sslkey`, cannot be used: No such file")
    );
    assert!(told(&identity(&certificate, &certificate)).contains("it has no private key in PEM"));
    let other = told(&identity(&certificate, &made.key("stranger")));
    let expected = format!(
        "the key does not belong to the certificate in `{}`",
        certificate.display()
    );
    assert!(other.ends_with(&expected), "{other}");

    let cut = path("cut");
    let whole = fs::read_to_string(&certificate).unwrap();
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let half = told(&roots(&cut));
    assert!(
        half.ends_with("cannot be used: a section in PEM has no line with its end"),
        "{half}"
    );
    let encrypted = path("encrypted");
    let text = fs::read_to_string(&key).unwrap();
    fs::write(&encrypted, text.replace("PRIVATE", "ENCRYPTED PRIVATE")).unwrap();
    assert!(
        told(&identity(&certificate, &encrypted))
            .ends_with("cannot be used: the key is encrypted: decrypt it (`openssl pkey`)")
    );
}
