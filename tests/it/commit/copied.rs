//! Two databases with one id: a copied file, a restored one, two binds of a unit.

use std::fs;
use std::path::Path;

use diesel_binds::check::Finding;
use diesel_binds::error::Fault;
use diesel_binds::recovery::Outcome;
use diesel_binds::{BindOptions, Binds, CommitError, Error, Source};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use kit::admin::Admin;
use kit::database::Database;
use kit::side::{MariadbA, MariadbB, PostgresA, PostgresB, Side, Sqlite};

use crate::commit::pair::Pair;

const PLACE: &str = "SELECT coalesce(place, '') AS value FROM diesel_binds_meta";
const ID: &str = "SELECT holder_id AS value FROM diesel_binds_meta";

async fn value(path: &str, query: &str) -> String {
    let mut admin = Admin::connect(path).await;
    admin.values(query).await.unwrap().remove(0)
}

async fn over(postgres: &str, file: &Path) -> Binds {
    Binds::builder()
        .namespace("pair")
        .recovery(diesel_binds::RecoveryOptions::new().without_worker())
        .bind(PostgresA, Source::url(postgres))
        .bind(Sqlite, Source::url(file.to_str().unwrap()))
        .build()
        .unwrap()
}

async fn commit(binds: &Binds, text: &str) -> Result<diesel_binds::Commit, CommitError> {
    let mut session = binds.session();
    PostgresA::write(&session, text).await.unwrap();
    Sqlite::write(&session, text).await.unwrap();
    session.commit_all().await
}

async fn assert_refused(binds: &Binds) {
    let error = commit(binds, "gone").await.unwrap_err();
    assert!(
        matches!(
            &error,
            CommitError::RolledBack {
                bind: "lite",
                source: Fault::Copied,
                ..
            }
        ),
        "{error:?}"
    );
    let installed = binds.install().await.unwrap_err();
    assert!(
        matches!(
            &installed,
            Error::Tables {
                source: Fault::Copied,
                ..
            }
        ),
        "{installed:?}"
    );
    let report = binds.check().await;
    let findings = &report.bind("lite").unwrap().findings;
    assert!(
        findings
            .iter()
            .any(|finding| matches!(finding, Finding::Tables(Fault::Copied))),
        "{findings:?}"
    );
}

/// Both files would decide the same units: one process could abort through the copy a unit that another committed in
/// the original.
#[tokio::test]
async fn a_copied_file_decides_nothing_until_it_is_given_an_id_or_keeps_its_own() {
    let pair = Pair::<PostgresA, Sqlite>::new().await;
    let mut session = pair.binds.session();
    pair.write(&session, "kept").await.unwrap();
    let committed = pair.commits(&mut session, &["kept"]).await;
    let gid = committed.gid().unwrap().clone();
    drop(session);
    pair.binds.close().await;
    let id = value(pair.second.url(), ID).await;

    let folder = tempfile::tempdir().unwrap();
    for keep in [false, true] {
        let copy = folder.path().join(format!("{keep}.db"));
        fs::copy(pair.second.url(), &copy).unwrap();
        let binds = over(pair.first.url(), &copy).await;
        assert_refused(&binds).await;
        // Nor does the copy answer for a unit, or fence a late decision.
        let resolved = binds.recovery().resolve(&gid).await.unwrap_err();
        assert!(matches!(resolved.source, Fault::Copied), "{resolved:?}");
        let error = binds.recovery().outcome_of(&gid).await.unwrap_err();
        assert!(matches!(error.source, Fault::Copied), "{error:?}");

        match keep {
            false => binds.renew_identity("lite").await.unwrap(),
            true => binds.keep_identity("lite").await.unwrap(),
        }
        let committed = commit(&binds, &format!("after {keep}")).await.unwrap();
        assert!(committed.committed().unwrap().pending().is_empty());
        assert_eq!(value(copy.to_str().unwrap(), ID).await == id, keep);
        let resolved = binds.recovery().resolve(&gid).await;
        match keep {
            true => assert_eq!(resolved.unwrap(), Outcome::Committed),
            false => assert!(matches!(resolved.unwrap_err().source, Fault::Replaced)),
        }
        binds.close().await;
    }
    assert!(matches!(
        over(pair.first.url(), &folder.path().join("true.db"))
            .await
            .keep_identity("nobody")
            .await,
        Err(Fault::UnknownBind)
    ));
}

/// An operator may run the migration of the protocol by hand, and the migration has no access to its file. The first
/// unit records the place.
#[tokio::test]
async fn the_first_unit_records_the_file_and_a_moved_file_goes_on() {
    let (postgres, sqlite) = (PostgresA::database().await, Sqlite::database().await);
    let mut admin = Admin::connect(sqlite.url()).await;
    assert_ne!(
        value(sqlite.url(), PLACE).await,
        "",
        "`install()` records it"
    );
    admin
        .run("UPDATE diesel_binds_meta SET place = NULL")
        .await
        .unwrap();
    drop(admin);
    let file = Path::new(sqlite.url());
    let binds = over(postgres.url(), file).await;
    // A check changes nothing.
    let _ = binds.check().await;
    assert_eq!(value(sqlite.url(), PLACE).await, "");
    let _ = commit(&binds, "kept").await.unwrap();
    assert_ne!(value(sqlite.url(), PLACE).await, "");
    binds.close().await;

    let moved = file.with_file_name("moved.db");
    fs::rename(file, &moved).unwrap();
    let binds = over(postgres.url(), &moved).await;
    let _ = commit(&binds, "moved").await.unwrap();
    binds.close().await;

    // A file that SQLite copied is a copy.
    let mut admin = Admin::connect(moved.to_str().unwrap()).await;
    let vacuumed = file.with_file_name("vacuumed.db");
    let vacuum = format!("VACUUM; VACUUM INTO '{}'", vacuumed.display());
    admin.run(&vacuum).await.unwrap();
    assert_refused(&over(postgres.url(), &vacuumed).await).await;
    // `VACUUM` into the same file is not.
    let _ = commit(&over(postgres.url(), &moved).await, "still")
        .await
        .unwrap();
}

/// Otherwise both of two copies would be the file that first recorded its place.
#[tokio::test]
async fn a_migration_records_the_file() {
    const PROTOCOL: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
    let file = Database::sqlite();
    let binds = Binds::builder()
        .bind(Sqlite, Source::url(file.url()))
        .migrations(Sqlite, PROTOCOL)
        .build()
        .unwrap();
    binds.migrations().run().await.unwrap();
    assert_ne!(value(file.url(), PLACE).await, "");
}

/// Tables of an earlier version have no place.
#[tokio::test]
async fn install_adds_the_place_of_a_file() {
    let (postgres, sqlite) = (PostgresA::database().await, Sqlite::database().await);
    Sqlite::admin(&sqlite, "ALTER TABLE diesel_binds_meta DROP COLUMN place").await;
    let binds = over(postgres.url(), Path::new(sqlite.url())).await;
    let error = commit(&binds, "gone").await.unwrap_err();
    assert!(
        matches!(
            &error,
            CommitError::RolledBack {
                source: Fault::NotInstalled(_),
                ..
            }
        ),
        "{error:?}"
    );
    binds.install().await.unwrap();
    let _ = commit(&binds, "kept").await.unwrap();
    assert_ne!(value(sqlite.url(), PLACE).await, "");
}

/// The refusal also applies if each database was asked for its id in a unit of its own.
#[tokio::test]
async fn two_databases_with_one_id_take_part_in_no_unit() {
    async fn refused<A: Side, B: Side>(first: &str, second: &str, alone: bool) {
        let records = || match alone {
            true => BindOptions::new().record_every_commit(),
            false => BindOptions::new(),
        };
        let pair = Pair::<A, B>::with(records(), records()).await;
        let id = value(pair.first.url(), ID).await;
        let copied = format!("UPDATE diesel_binds_meta SET holder_id = '{id}'");
        B::admin(&pair.second, &copied).await;
        let mut rows = Vec::new();
        if alone {
            let mut session = pair.binds.session();
            A::write(&session, "alone").await.unwrap();
            session.commit_all().await.unwrap();
            B::write(&session, "alone").await.unwrap();
            session.commit_all().await.unwrap();
            rows.push("alone".to_owned());
        }
        let mut session = pair.binds.session();
        pair.write(&session, "gone").await.unwrap();
        let error = session.commit_all().await.unwrap_err();
        assert!(
            matches!(
                &error,
                CommitError::RolledBack {
                    source: Fault::SameIdentity { .. },
                    ..
                }
            ),
            "{error:?}"
        );
        assert_eq!(pair.rows().await, (rows.clone(), rows));
        let report = pair.binds.check().await;
        let findings = &report.bind(second).unwrap().findings;
        assert!(
            findings
                .iter()
                .any(|finding| matches!(finding, Finding::SameIdentity { with } if *with == first)),
            "{findings:?}"
        );
        pair.binds.renew_identity(second).await.unwrap();
        pair.write(&session, "kept").await.unwrap();
        session.commit_all().await.unwrap();
    }
    for alone in [false, true] {
        refused::<PostgresA, PostgresB>("pg-a", "pg-b", alone).await;
        refused::<MariadbA, MariadbB>("my-a", "my-b", alone).await;
    }
}
