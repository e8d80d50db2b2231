//! Tests of the manifest: valid files, and that every mistake is found with its line and without its value.

use std::fs;
use std::path::Path;

use crate::backend::Backend;
use crate::config::manifest::{Manifest, ManifestError, ManifestPlace};

const SHOP: &str = "/shop/diesel-binds.toml";

fn problems(text: &str) -> Vec<(usize, String)> {
    match Manifest::parse(text, SHOP) {
        Ok(manifest) => panic!("nothing is wrong with {manifest:?}"),
        Err(ManifestError::Invalid { problems, .. }) => problems
            .into_iter()
            .map(|problem| (problem.line, problem.message))
            .collect(),
        Err(other) => panic!("{other}"),
    }
}

/// Checks that a text has exactly one problem, on this line and with this message.
fn one_problem(text: &str, line: usize, says: &str) {
    let found = problems(text);
    assert!(
        matches!(found.as_slice(), [(at, message)] if *at == line && message.contains(says)),
        "{text}\n{found:?}"
    );
}

#[test]
fn missing_entries_follow_from_the_key() {
    let text = "namespace = \"shop\"\n[bind.audit-log]\nbackend = \"postgres\"\n[bind.a]\nbackend = \"sqlite\"\n";
    let manifest = Manifest::parse(text, SHOP).unwrap();
    assert_eq!(manifest.namespace(), "shop");
    assert_eq!(manifest.folder(), Path::new("/shop"));
    let keys: Vec<_> = manifest.binds().iter().map(|bind| bind.key()).collect();
    assert_eq!(keys, ["audit-log", "a"], "in the order of the file");
    let bind = manifest.bind("audit-log").unwrap();
    assert_eq!(bind.backend(), Backend::Postgres);
    assert_eq!(bind.variable(), Some("AUDIT_LOG_DATABASE_URL"));
    assert_eq!(bind.migrations(), Path::new("/shop/migrations/audit-log"));
    assert_eq!(bind.schema(), Path::new("/shop/src/schema/audit-log.rs"));
    assert_eq!(bind.needs(), []);
    assert_eq!(bind.place(), &ManifestPlace::Own);
}

#[test]
fn every_field_is_read() {
    let text = r#"
namespace = "shop"
[bind.accounts]
backend = "mysql"
url_env = "MAIN_URL"
migrations = "./db/../db/accounts"
schema = "/elsewhere/schema.rs"
[bind.audit]
backend = "mysql"
shared_with = "accounts"
needs = { accounts = "2026-01-02-000000" }
[bind.files]
backend = "sqlite"
[bind.more]
backend = "sqlite"
attach_to = "files"
"#;
    let manifest = Manifest::parse(text, SHOP).unwrap();
    let accounts = manifest.bind("accounts").unwrap();
    assert_eq!(accounts.variable(), Some("MAIN_URL"));
    assert_eq!(accounts.migrations(), Path::new("/shop/db/accounts"));
    assert_eq!(accounts.schema(), Path::new("/elsewhere/schema.rs"));
    let audit = manifest.bind("audit").unwrap();
    assert_eq!(audit.variable(), None);
    assert_eq!(audit.place(), &ManifestPlace::SharedWith("accounts".into()));
    assert_eq!(manifest.database_of(audit), accounts);
    let [need] = audit.needs() else {
        panic!("{audit:?}")
    };
    assert_eq!(
        (need.bind(), need.version()),
        ("accounts", "20260102000000")
    );
    assert!(need.is_met_by(["20260101000000", "20260102000000"]));
    assert!(!need.is_met_by(["20260101000000", "20260103000000"]));
    let more = manifest.bind("more").unwrap();
    assert_eq!(more.place(), &ManifestPlace::AttachedTo("files".into()));
    assert_eq!(manifest.database_of(more), more);
}

#[test]
fn a_file_that_is_missing_or_wrong_is_never_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(Manifest::FILE_NAME);
    assert!(matches!(
        Manifest::load(&file),
        Err(ManifestError::Missing { path }) if path == file
    ));
    assert!(matches!(
        Manifest::find(folder.path()),
        Err(ManifestError::NotFound { .. })
    ));
    for wrong in [
        "",
        "namespace = \"shop\"\n",
        "namespace = \"shop\"\nbind = {}\n",
        "namespace =",
    ] {
        fs::write(&file, wrong).unwrap();
        assert!(
            matches!(Manifest::load(&file), Err(ManifestError::Invalid { .. })),
            "{wrong:?}"
        );
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(matches!(
        Manifest::load(&file),
        Err(ManifestError::Unreadable { .. })
    ));
}

#[test]
fn the_manifest_is_found_from_every_folder_below() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(Manifest::FILE_NAME);
    fs::write(
        &file,
        "namespace = \"shop\"\n[bind.a]\nbackend = \"sqlite\"\n",
    )
    .unwrap();
    let deep = folder.path().join("migrations/a");
    fs::create_dir_all(&deep).unwrap();
    assert_eq!(Manifest::find(deep).unwrap().file(), file);
}

#[test]
fn a_key_that_is_not_known_is_an_error_with_its_line() {
    let bind = "namespace = \"shop\"\n[bind.a]\nbackend = \"sqlite\"\n";
    one_problem(
        &format!("{bind}database = 1\n"),
        4,
        "unknown field `database`",
    );
    one_problem(&format!("{bind}[binds.b]\n"), 4, "unknown field `binds`");
    one_problem(&format!("{bind}backend = \"sqlite\"\n"), 4, "duplicate key");
}

#[test]
fn every_mistake_is_reported_with_its_line() {
    let text = r#"namespace = "Shop"
[bind.UPPER]
backend = "sqlite"
[bind.a]
backend = "oracle"
[bind.b]
backend = "mysql"
url_env = "mysql://app:unseen@host/db"
shared_with = "nobody"
[bind.c]
backend = "postgres"
attach_to = "UPPER"
needs = { nobody = "1", a = "x y" }
[bind.d]
backend = "sqlite"
shared_with = "a"
attach_to = "a"
"#;
    let found = problems(text);
    let lines: Vec<_> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [1, 2, 5, 8, 8, 17, 6, 10, 10, 13, 13], "{found:?}");
    assert!(!format!("{found:?}").contains("unseen"), "{found:?}");
}

#[test]
fn two_binds_never_share_a_file_by_accident() {
    let shop = |more: &str| {
        format!(
            "namespace = \"s\"\n[bind.a]\nbackend = \"sqlite\"\n[bind.b]\nbackend = \"sqlite\"\n{more}\n"
        )
    };
    one_problem(&shop("schema = \"src/schema/./a.rs\""), 4, "schema file");
    one_problem(
        &shop("migrations = \"migrations/x/../a\""),
        4,
        "folder of migrations",
    );
    one_problem(
        &shop("migrations = \"migrations\""),
        4,
        "folder of migrations",
    );
    one_problem(
        &shop("migrations = \"migrations/a/b\""),
        4,
        "folder of migrations",
    );
    one_problem(&shop("url_env = \"A_DATABASE_URL\""), 4, "URL variable");
}

#[test]
fn no_value_is_repeated() {
    for wrong in [
        "namespace = \"s\"\n[bind]\na = \"postgres://app:unseen@host/db\"\n",
        "namespace = \"s\"\n[bind.a]\nbackend = \"host=db password=unseen\"\n",
        "namespace = \"s\"\n[bind.a]\nbackend = \"sqlite\"\nurl = \"postgres://app:unseen@host/db\"\n",
        "namespace = \"s\"\n[bind.a]\nbackend = \"sqlite\"\nneeds = \"unseen \\\" more unseen\"\n",
        "namespace = \"s\"\n[bind.a]\nbackend = \"sqlite\"\nurl_env = \"host=db password=unseen\"\n",
        "namespace = \"postgres://app:unseen@host/db\"\n[bind.a]\nbackend = \"sqlite\"\n",
        "namespace = \"s\"\n[bind.a]\nbackend = \"postgres://unseen\n",
    ] {
        let error = Manifest::parse(wrong, SHOP).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains("unseen"), "{text}");
    }
}
