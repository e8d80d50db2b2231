//! Several binds: one order, one run, and the report of a run that stops before its end.

use diesel_binds::build::BuildProblem;
use diesel_binds::migrations::{MigrationMistake, MigrationProblem};
use diesel_binds::{Manifest, Source};
use kit::database::Database;
use kit::servers::Server;
use kit::source::Steps;

use crate::migrations::binds::{Accounts, Cache, Ledger};
use crate::migrations::database::{NAMES, USERS, two};
use crate::migrations::world::{builder, names, with_causes};

const ENTRIES: &str = "2026-02-02-000000_entries";

fn entries() -> Steps {
    Steps::new().table(ENTRIES, "entries")
}

/// Returns the mistakes of a build, with their binds.
fn mistakes(problems: &[BuildProblem]) -> Vec<(&'static str, &MigrationMistake)> {
    problems
        .iter()
        .map(|problem| match problem {
            BuildProblem::Migrations { bind, mistake } => (*bind, mistake),
            other => panic!("{other}"),
        })
        .collect()
}

#[tokio::test]
async fn a_bind_comes_after_those_that_it_needs() {
    let accounts = Database::on(Server::PostgresA).await;
    let ledger = Database::on(Server::MariadbA).await;
    let cache = Database::sqlite();
    let binds = builder()
        .bind(Cache, Source::url(cache.url()))
        .bind(Ledger, Source::url(ledger.url()))
        .bind(Accounts, Source::url(accounts.url()))
        .migrations(Cache, Steps::new().table("2026-03-03-000000_hits", "hits"))
        .migrations(Ledger, entries())
        .migrations(Accounts, two())
        .migrations_need(Ledger, (Accounts, NAMES))
        .migrations_need(Cache, (Ledger, "2026-02-02-000000"))
        .build()
        .unwrap();

    // A bind that runs alone does not run before the migrations that it needs.
    for _ in 0..2 {
        let refused = binds.migrations().of(Ledger).run().await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "`ledger` needs `accounts` at least at version 20260103000000, which is not applied there; nothing was done"
        );
    }
    let run = binds.migrations().run().await.unwrap();
    let hits = "cache/2026-03-03-000000_hits".to_owned();
    assert_eq!(
        names(&run.done),
        [
            format!("accounts/{USERS}"),
            format!("accounts/{NAMES}"),
            format!("ledger/{ENTRIES}"),
            hits.clone(),
        ]
    );

    // A migration is not reverted while another one needs it.
    let refused = binds.migrations().of(Accounts).revert().await.unwrap_err();
    let MigrationProblem::NeededBy { bind, by, .. } = refused.problem() else {
        panic!("{refused:?}");
    };
    assert_eq!((*bind, *by), ("accounts", "ledger"));

    let reverted = binds.migrations().revert_all().await.unwrap();
    assert_eq!(
        names(&reverted.done),
        [
            hits,
            format!("ledger/{ENTRIES}"),
            format!("accounts/{NAMES}"),
            format!("accounts/{USERS}"),
        ]
    );
    // A bind that runs alone runs when the migrations that it needs are applied.
    binds.migrations().of(Accounts).run().await.unwrap();
    binds.migrations().of(Ledger).run().await.unwrap();
    binds.migrations().of(Ledger).check().await.unwrap();
}

#[tokio::test]
async fn a_check_asks_also_for_what_a_bind_needs() {
    let accounts = Database::on(Server::PostgresA).await;
    let ledger = Database::on(Server::MariadbA).await;
    let without = builder()
        .bind(Ledger, Source::url(ledger.url()))
        .migrations(Ledger, entries())
        .build()
        .unwrap();
    without.migrations().run().await.unwrap();
    let binds = builder()
        .bind(Ledger, Source::url(ledger.url()))
        .bind(Accounts, Source::url(accounts.url()))
        .migrations(Ledger, entries())
        .migrations(Accounts, two())
        .migrations_need(Ledger, (Accounts, USERS))
        .build()
        .unwrap();
    let refused = binds.migrations().of(Ledger).check().await.unwrap_err();
    assert!(
        matches!(refused.problem(), MigrationProblem::Needs { .. }),
        "{refused:?}"
    );
}

#[tokio::test]
async fn migrations_that_cannot_be_ordered_are_not_built() {
    let binds = || {
        builder()
            .bind(Accounts, Source::url("postgres://localhost/accounts"))
            .bind(Ledger, Source::url("mysql://localhost/ledger"))
            .migrations(Accounts, two())
    };
    let circle = binds()
        .migrations(Ledger, entries())
        .migrations_need(Ledger, (Accounts, NAMES))
        .migrations_need(Accounts, (Ledger, ENTRIES))
        .build()
        .unwrap_err();
    let [(_, MigrationMistake::Cycle { binds: keys, .. })] = *mistakes(circle.problems()) else {
        panic!("{circle}");
    };
    assert_eq!(keys.len(), 2);

    let unknown = binds()
        .migrations(Ledger, entries())
        .migrations_need(Ledger, (Accounts, "2027-01-01-000000_not_there"))
        .build()
        .unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "the binds cannot be built; the migrations of `ledger` are not valid: they need `accounts` at version \
         20270101000000, which it does not have"
    );

    let without = binds()
        .migrations_need(Ledger, (Accounts, NAMES))
        .build()
        .unwrap_err();
    assert_eq!(
        mistakes(without.problems()),
        [("ledger", &MigrationMistake::UnknownBind)]
    );
}

#[tokio::test]
async fn migrations_that_cannot_be_told_apart_are_not_built() {
    let build = |steps: Steps| {
        builder()
            .bind(Accounts, Source::url("postgres://localhost/accounts"))
            .migrations(Accounts, steps)
            .build()
            .unwrap_err()
            .to_string()
    };
    // Diesel would run only one of the two.
    let same = build(
        Steps::new()
            .table("2026-01-02-000000_a", "a")
            .table("20260102000000_b", "b"),
    );
    assert!(same.contains("have the same version"), "{same}");
    let odd = build(Steps::new().table("2026'; DROP TABLE users; --_a", "a"));
    assert!(odd.contains("is not of [A-Za-z0-9.+]"), "{odd}");

    let twice = builder()
        .bind(Accounts, Source::url("postgres://localhost/accounts"))
        .migrations(Accounts, two())
        .migrations(Accounts, two())
        .migrations(Cache, two())
        .build()
        .unwrap_err();
    assert_eq!(
        mistakes(twice.problems()),
        [
            ("accounts", &MigrationMistake::Repeated),
            ("cache", &MigrationMistake::UnknownBind)
        ]
    );
}

#[tokio::test]
async fn a_run_that_stops_lists_the_binds_that_are_done() {
    let accounts = Database::on(Server::PostgresA).await;
    let ledger = Database::on(Server::MariadbA).await;
    let cache = Database::sqlite();
    let binds = builder()
        .bind(Accounts, Source::url(accounts.url()))
        .bind(Ledger, Source::url(ledger.url()))
        .bind(Cache, Source::url(cache.url()))
        .migrations(Accounts, two())
        .migrations(Ledger, Steps::new().step(ENTRIES, "CREATE TABLE ()", ""))
        .migrations(Cache, Steps::new().table("2026-03-03-000000_hits", "hits"))
        .build()
        .unwrap();
    let error = binds.migrations().run().await.unwrap_err();
    let text = with_causes(&error);
    assert!(
        text.contains(&format!(
            "done: `accounts` ({USERS}, {NAMES}); not done: `ledger` ({ENTRIES}), `cache` (2026-03-03-000000_hits)"
        )),
        "{text}"
    );
    assert_eq!(error.bind(), Some("ledger"));
}

#[tokio::test]
async fn a_bind_that_cannot_be_reached_hides_no_other() {
    let accounts = Database::on(Server::PostgresA).await;
    let binds = builder()
        .bind(Accounts, Source::url(accounts.url()))
        .bind(Ledger, Source::url("mysql://app:unseen@127.0.0.1:1/ledger"))
        .migrations(Accounts, two())
        .migrations(Ledger, entries())
        .build()
        .unwrap();
    let report = binds.migrations().report().await;
    let text = report.to_string();
    assert!(
        text.contains("accounts (PostgreSQL): 0 applied, 2 pending"),
        "{text}"
    );
    assert!(
        text.contains("the database of `ledger` cannot be reached"),
        "{text}"
    );
    assert!(!report.is_current());

    // Nothing is run before everything can be.
    let error = binds.migrations().run().await.unwrap_err();
    assert!(
        matches!(
            error.problem(),
            MigrationProblem::Unreachable { bind: "ledger", .. }
        ),
        "{error:?}"
    );
    let still = binds.migrations().of(Accounts).report().await;
    assert!(
        still.to_string().contains("0 applied, 2 pending"),
        "{still}"
    );
    for said in [
        text,
        format!("{report:?}"),
        with_causes(&error),
        format!("{error:?}"),
    ] {
        assert!(!said.contains("unseen"), "{said}");
    }

    // An unknown bind is not reported as current.
    let nobody = binds.migrations().of_key("nobody");
    assert!(!nobody.report().await.is_current());
    assert!(nobody.run().await.is_err() && nobody.check().await.is_err());
    assert!(nobody.list().await.is_err());
}

#[tokio::test]
async fn the_order_of_the_manifest_counts() {
    let accounts = Database::on(Server::PostgresA).await;
    let ledger = Database::on(Server::MariadbA).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let manifest = "namespace = \"migrations\"\n\
                    [bind.ledger]\nbackend = \"mysql\"\nneeds = { accounts = \"2026-01-03-000000\" }\n\
                    [bind.accounts]\nbackend = \"postgres\"\n";
    std::fs::write(file.path(), manifest).unwrap();
    let binds = builder()
        .manifest(&Manifest::load(file.path()).unwrap())
        .bind(Ledger, Source::url(ledger.url()))
        .bind(Accounts, Source::url(accounts.url()))
        .migrations(Ledger, entries())
        .migrations(Accounts, two())
        .build()
        .unwrap();
    let refused = binds.migrations().of(Ledger).run().await.unwrap_err();
    assert!(
        matches!(refused.problem(), MigrationProblem::Needs { .. }),
        "{refused:?}"
    );
    let run = binds.migrations().run().await.unwrap();
    assert_eq!(names(&run.done)[2], format!("ledger/{ENTRIES}"));
}
