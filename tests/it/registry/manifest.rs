//! Binds of the manifest, with their types, and by their keys alone.

use std::fs;

use diesel_binds::backend::Backend;
use diesel_binds::build::BuildProblem;
use diesel_binds::check::Severity;
use diesel_binds::config::ManifestPlace;
use diesel_binds::{Binds, Manifest, Source};

use crate::registry::binds::{Accounts, AuditLog, Cache, NOWHERE_POSTGRES, Orders};
use crate::registry::environment::is_parent;

fn manifest(text: &str) -> Manifest {
    Manifest::parse(
        &format!("namespace = \"shop\"\n{text}"),
        "/shop/diesel-binds.toml",
    )
    .unwrap()
}

const FOUR: &str = r#"
[bind.accounts]
backend = "postgres"
url_env = "MAIN_URL"
[bind.audit-log]
backend = "mysql"
[bind.cache]
backend = "sqlite"
attach_to = "archive"
[bind.archive]
backend = "sqlite"
"#;

#[test]
fn a_bind_finds_its_url_where_the_manifest_says() {
    let test = "registry::manifest::a_bind_finds_its_url_where_the_manifest_says";
    if is_parent(test, &[("MAIN_URL", NOWHERE_POSTGRES)]) {
        return;
    }
    let binds = Binds::builder()
        .manifest(&manifest(FOUR))
        .bind(Accounts, Source::env())
        .build()
        .unwrap();
    assert!(
        format!("{binds:?}").contains("shop"),
        "the namespace is of the manifest"
    );
}

#[test]
fn a_bind_that_is_not_what_the_manifest_says_is_refused() {
    let test = "registry::manifest::a_bind_that_is_not_what_the_manifest_says_is_refused";
    if is_parent(test, &[("ARCHIVE_DATABASE_URL", "archive.db")]) {
        return;
    }
    let error = Binds::builder()
        .manifest(&manifest(FOUR))
        .bind(Accounts, Source::env())
        .bind(AuditLog, Source::env())
        .bind(Cache, Source::env())
        .bind(Orders, Source::env())
        .bind_named("nobody")
        .build()
        .unwrap_err();
    assert_eq!(
        error.problems(),
        [
            BuildProblem::NoUrl {
                bind: "accounts",
                variable: "MAIN_URL".into()
            },
            BuildProblem::OtherBackend {
                bind: "audit-log",
                manifest: Backend::Mysql,
                backend: Backend::Postgres,
            },
            BuildProblem::OtherPlace {
                bind: "cache",
                place: ManifestPlace::AttachedTo("archive".into())
            },
            BuildProblem::NotInManifest {
                bind: "orders".into()
            },
            BuildProblem::NotInManifest {
                bind: "nobody".into()
            },
        ],
        "{error}"
    );
}

#[test]
fn a_manifest_may_follow_the_binds_that_it_describes() {
    let test = "registry::manifest::a_manifest_may_follow_the_binds_that_it_describes";
    if is_parent(test, &[("ACCOUNTS_DATABASE_URL", NOWHERE_POSTGRES)]) {
        return;
    }
    let error = Binds::builder()
        .bind(Accounts, Source::env())
        .manifest(&manifest(FOUR))
        .build()
        .unwrap_err();
    let unset = BuildProblem::NoUrl {
        bind: "accounts",
        variable: "MAIN_URL".into(),
    };
    assert_eq!(error.problems(), [unset]);
}

#[test]
fn all_problems_of_a_manifest_are_reported_at_once() {
    let test = "registry::manifest::all_problems_of_a_manifest_are_reported_at_once";
    let variables = [
        ("CACHE_DATABASE_URL", "cache.db"),
        ("MAIN_URL", "mysql://app:unseen@nowhere/app"),
    ];
    if is_parent(test, &variables) {
        return;
    }
    let error = Binds::from_manifest(&manifest(FOUR)).unwrap_err();
    let about: Vec<_> = error.problems().iter().map(BuildProblem::bind).collect();
    assert_eq!(
        about,
        [Some("accounts"), Some("audit-log"), Some("archive")],
        "{error}"
    );
    assert!(!format!("{error} {error:?}").contains("unseen"));
}

#[test]
fn a_process_without_the_types_can_check_install_and_recover() {
    let test = "registry::manifest::a_process_without_the_types_can_check_install_and_recover";
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (one, two) = (file("one.db"), file("two.db"));
    if is_parent(
        test,
        &[("ONE_DATABASE_URL", &one), ("TWO_DATABASE_URL", &two)],
    ) {
        assert!(
            fs::metadata(&one).unwrap().len() > 0,
            "installed by the other process"
        );
        return;
    }
    let manifest = manifest(
        "[bind.one]\nbackend = \"sqlite\"\n[bind.two]\nbackend = \"sqlite\"\n[bind.three]\nbackend = \"sqlite\"\nshared_with = \"one\"\n",
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        // The second call reuses the key that the first one has allocated.
        Binds::from_manifest(&manifest).unwrap();
        let binds = Binds::from_manifest(&manifest).unwrap();
        binds.install().await.unwrap();
        let report = binds.check().await;
        assert_eq!(
            report.binds.len(),
            2,
            "`three` is in the database of `one`: {report}"
        );
        assert!(report.severity() < Severity::Error, "{report}");
        assert!(binds.recovery().run().await.is_complete());
        binds.close().await;
    });
}
