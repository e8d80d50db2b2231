//! URLs from the environment. A test cannot change its own environment, so each runs in a process of its own.

use std::process::Command;

use diesel_async::AsyncPgConnection;
use diesel_binds::build::BuildProblem;
use diesel_binds::config::UrlProblem;
use diesel_binds::{Bind, Binds, Source};

use crate::registry::binds::{Accounts, AuditLog, NOWHERE_POSTGRES};

const CHILD: &str = "DIESEL_BINDS_TEST_CHILD";

/// Runs a test again in a process with these variables. Returns `false` in that process.
pub(crate) fn is_parent(test: &str, variables: &[(&str, &str)]) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return false;
    }
    let output = Command::new(std::env::current_exe().expect("a test has a file"))
        .args(["--exact", test, "--nocapture"])
        .env_remove("ACCOUNTS_DATABASE_URL")
        .env_remove("AUDIT_LOG_DATABASE_URL")
        .env_remove("CACHE_DATABASE_URL")
        .envs(variables.iter().copied())
        .env(CHILD, "1")
        .output()
        .expect("a test can be run");
    let output_text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && output_text.contains("1 passed"),
        "{output_text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    true
}

#[test]
fn a_bind_finds_its_url_in_the_environment() {
    let variables = [
        ("ACCOUNTS_DATABASE_URL", NOWHERE_POSTGRES),
        ("AUDIT_LOG_DATABASE_URL", NOWHERE_POSTGRES),
    ];
    if is_parent(
        "registry::environment::a_bind_finds_its_url_in_the_environment",
        &variables,
    ) {
        return;
    }
    Binds::builder()
        .namespace("app")
        .bind(Accounts, Source::env())
        .bind(AuditLog, Source::env())
        .build()
        .unwrap();
}

#[test]
fn a_bind_without_its_variable_says_which() {
    let variables = [("ACCOUNTS_DATABASE_URL", "mysql://app@localhost/app")];
    if is_parent(
        "registry::environment::a_bind_without_its_variable_says_which",
        &variables,
    ) {
        return;
    }
    let error = Binds::builder()
        .namespace("app")
        .bind(Accounts, Source::env())
        .bind(AuditLog, Source::env())
        .build()
        .unwrap_err();
    assert!(matches!(
        error.problems(),
        [
            BuildProblem::Url { bind: "accounts", problem: UrlProblem::WrongBackend { .. } },
            BuildProblem::NoUrl { bind: "audit-log", variable },
        ] if variable == "AUDIT_LOG_DATABASE_URL"
    ));
}

#[test]
fn a_bind_finds_its_url_in_the_variable_that_its_source_names() {
    let variables = [
        ("BOOKS_URL", NOWHERE_POSTGRES),
        ("ACCOUNTS_DATABASE_URL", "mysql://app@localhost/app"),
    ];
    if is_parent(
        "registry::environment::a_bind_finds_its_url_in_the_variable_that_its_source_names",
        &variables,
    ) {
        return;
    }
    let builder = || {
        Binds::builder()
            .namespace("app")
            .bind(Accounts, Source::env_var("BOOKS_URL"))
    };
    builder().build().unwrap();
    let twice = builder()
        .bind(AuditLog, Source::env_var("BOOKS_URL"))
        .build();
    assert_eq!(
        twice.unwrap_err().problems(),
        [BuildProblem::SharedVariable {
            bind: "audit-log",
            with: "accounts",
            variable: "BOOKS_URL".into()
        }]
    );
}

/// A bind with the variable of `audit-log`.
struct OtherLog;

impl Bind for OtherLog {
    const KEY: &'static str = "audit_log";
    type Connection = AsyncPgConnection;
}

#[test]
fn two_binds_do_not_read_one_variable() {
    let variables = [("AUDIT_LOG_DATABASE_URL", NOWHERE_POSTGRES)];
    if is_parent(
        "registry::environment::two_binds_do_not_read_one_variable",
        &variables,
    ) {
        return;
    }
    let error = Binds::builder()
        .namespace("app")
        .bind(AuditLog, Source::env())
        .bind(OtherLog, Source::env())
        .build()
        .unwrap_err();
    assert!(matches!(
        error.problems(),
        [BuildProblem::SharedVariable { bind: "audit_log", with: "audit-log", variable }]
            if variable == "AUDIT_LOG_DATABASE_URL"
    ));
}
