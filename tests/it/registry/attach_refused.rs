//! Groups of SQLite files that would not commit as one, or in which one name means two tables, are refused.

use diesel_binds::check::{Finding, Severity};
use diesel_binds::error::Fault;
use diesel_binds::{Binds, Error, Source};
use futures_util::FutureExt as _;
use kit::side::{Side as _, Sqlite};

use crate::registry::attach::{Group, HIT, PAGE, files, group, with_pragma, write};
use crate::registry::binds::{Archive, Cache, texts};

async fn first_write(group: &Group) -> Error {
    let session = group.binds.session();
    let written = write(&session, 1).await;
    let rows = write(&group.binds.session(), 2).await;
    assert!(rows.is_err(), "refused again, on whatever connection");
    written.unwrap_err()
}

/// In WAL mode, a crash between the two files tears the unit.
#[tokio::test]
async fn files_in_wal_are_refused() {
    for wal_first in [true, false] {
        let group = group(HIT, PAGE).await;
        let file = group.file(wal_first);
        Sqlite::admin(file, "PRAGMA journal_mode = WAL").await;
        let error = first_write(&group).await;
        assert!(matches!(error, Error::Begin { bind: "cache", .. }));
        assert!(texts(&error).contains("wal"), "{}", texts(&error));

        let report = group.binds.check().await;
        assert_eq!(report.severity(), Severity::Error);
        assert!(matches!(
            report.bind("cache").unwrap().findings.as_slice(),
            [
                Finding::Attached { bind: "archive" },
                Finding::Unusable(Fault::Refused(_))
            ]
        ));
        assert!(
            report
                .to_string()
                .contains("error: no transaction can begin: ")
        );
    }
}

/// Regression test: a used connection reports the journal mode from its last read of a file. The first unit after the
/// change was accepted, and its commit was two commits.
#[tokio::test]
async fn files_that_came_into_wal_since_the_last_unit_are_refused() {
    for wal_first in [true, false] {
        let group = group(HIT, PAGE).await;
        let mut session = group.binds.session();
        write(&session, 1).await.unwrap();
        session.commit_all().await.unwrap();
        Sqlite::admin(group.file(wal_first), "PRAGMA journal_mode = WAL").await;
        let error = write(&session, 2).await.unwrap_err();
        assert!(matches!(error, Error::Begin { bind: "cache", .. }));
        assert!(texts(&error).contains("wal"), "{}", texts(&error));
        session.rollback_all().await.unwrap();
        assert_eq!(group.ids().await, (vec![1], vec![1]));
    }
}

/// SQLite writes no common journal for a file that it does not synchronise: a crash of the process between two commits
/// tore the unit.
#[tokio::test]
async fn files_that_are_not_synchronised_are_refused() {
    for (schema, synchronous) in [("main", "OFF"), ("archive", "OFF"), ("archive", "NORMAL")] {
        let (cache, archive) = files(HIT, PAGE).await;
        let pragma = format!(
            "ATTACH '{}' AS archive; PRAGMA {schema}.synchronous = {synchronous}",
            archive.url()
        );
        let binds = Binds::builder()
            .bind(
                Cache,
                Source::url(cache.url())
                    .setup(move |path| with_pragma(path, pragma.clone()).boxed()),
            )
            .bind(Archive, Source::url(archive.url()).attach_to(Cache))
            .build()
            .unwrap();
        let mut session = binds.session();
        let written = write(&session, 1).await;
        if synchronous == "OFF" {
            let error = written.unwrap_err();
            assert!(matches!(error, Error::Begin { bind: "cache", .. }));
            let expected = format!("the file `{schema}`");
            assert!(texts(&error).contains(&expected), "{}", texts(&error));
        } else {
            written.unwrap();
            session.commit_all().await.unwrap();
        }
    }
}

#[tokio::test]
async fn equal_table_names_are_refused() {
    for second in [
        "CREATE TABLE hit (id INTEGER)",
        "CREATE TABLE HIT (id INTEGER)",
        "CREATE VIEW hit AS SELECT 1 AS id",
    ] {
        let group = group(HIT, &format!("{PAGE}; {second}")).await;
        let error = first_write(&group).await;
        assert!(matches!(error, Error::Begin { bind: "cache", .. }));
        assert!(texts(&error).contains("a table `hit`"), "{}", texts(&error));
    }
}

/// Many files have the tables of the protocol and of Diesel's migrations.
#[tokio::test]
async fn tables_that_every_file_may_have_are_no_obstacle() {
    let migrations = "CREATE TABLE __diesel_schema_migrations (version TEXT)";
    let group = group(
        &format!("{HIT}; {migrations}"),
        &format!("{PAGE}; {migrations}"),
    )
    .await;
    let install = Binds::builder()
        .bind(Archive, Source::url(group.archive.url()))
        .build()
        .unwrap();
    install.install().await.unwrap();
    let mut session = group.binds.session();
    write(&session, 1).await.unwrap();
    session.commit_all().await.unwrap();
    assert_eq!(group.binds.check().await.severity(), Severity::Info);
}
