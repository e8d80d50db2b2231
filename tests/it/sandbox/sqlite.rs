//! Behaviours of SQLite alone: copies of files, attached files, foreign keys that are checked at the commit. Behaviours
//! of every backend that are simplest to test on SQLite: set-ups, instrumentations, migrations.

use std::panic::{AssertUnwindSafe, catch_unwind};

use diesel::connection::InstrumentationEvent;
use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;
use diesel_async::{AsyncConnection as _, SimpleAsyncConnection as _};
use diesel_binds::error::Fault;
use diesel_binds::testing::{Sandbox, SandboxError};
use diesel_binds::trace::StatementSpans;
use diesel_binds::{
    AsyncSqliteConnection, Bind, Binds, CommitError, RecoveryOptions, RunQueryDsl, Session, Source,
};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use futures_util::FutureExt as _;
use kit::database::Database;
use kit::side::{Side, Sqlite, SqliteB, SqliteTokio};

use crate::suite::sandbox::{Outside, within};

#[derive(Bind, Default)]
#[bind(key = "archive", connection = AsyncSqliteConnection)]
#[allow(unreachable_pub, reason = "a bind is `pub`")]
pub struct Archive;

async fn run(session: &Session, sql: &str) {
    Sqlite::sql(session, sql).await.unwrap();
}

async fn open(path: &str, setup: &str) -> diesel::ConnectionResult<AsyncSqliteConnection> {
    let mut connection = AsyncSqliteConnection::establish(path).await?;
    SyncConnectionWrapper::batch_execute(&mut connection, setup)
        .await
        .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

async fn files() -> [Database; 2] {
    let (notes, archive) = (Sqlite::database().await, Database::sqlite());
    Sqlite::admin(&notes, "INSERT INTO notes (text) VALUES ('there')").await;
    Sqlite::admin(&archive, "CREATE TABLE old (id INTEGER PRIMARY KEY)").await;
    [notes, archive]
}

fn bytes(files: &[Database]) -> Vec<Vec<u8>> {
    let read = |file: &Database| std::fs::read(file.url()).unwrap();
    files.iter().map(read).collect()
}

#[tokio::test]
async fn the_copy_is_opened_as_the_file_is_and_checks_what_it_checks() {
    let files = [Sqlite::database().await];
    Sqlite::admin(
        &files[0],
        "INSERT INTO notes (text) VALUES ('there'); CREATE TABLE parents (id INTEGER PRIMARY KEY); \
         CREATE TABLE children (id INTEGER PRIMARY KEY, \
         parent INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)",
    )
    .await;
    let before = bytes(&files);
    let setup = "PRAGMA foreign_keys = ON; CREATE TEMPORARY TABLE of_setup (id INTEGER)";
    let with_setup = Binds::builder().bind(
        Sqlite,
        Source::url(files[0].url()).setup(move |path| open(path, setup).boxed()),
    );
    let binds = with_setup.build().unwrap();
    let sandbox = Sandbox::of(&binds).bind(Sqlite).start().await.unwrap();
    let mut session = sandbox.binds().session();
    run(&session, "INSERT INTO of_setup VALUES (1)").await;
    for number in 0..3 {
        run(
            &session,
            &format!("INSERT INTO children VALUES ({number}, 7)"),
        )
        .await;
        let refused = session.commit_all().await;
        assert!(
            matches!(
                refused,
                Err(CommitError::RolledBack {
                    source: Fault::Refused(_),
                    ..
                })
            ),
            "{refused:?}"
        );
        run(
            &session,
            &format!("INSERT INTO children VALUES ({number}, {number})"),
        )
        .await;
        run(&session, &format!("INSERT INTO parents VALUES ({number})")).await;
        session.commit_all().await.unwrap();
    }
    drop(session);
    sandbox.end().await.unwrap();
    assert_eq!(bytes(&files), before);
}

/// A pool of the application opens only its own file, so the settings of its connections are applied to the copy.
#[tokio::test]
async fn the_settings_of_a_pool_of_the_application_hold_on_the_copy() {
    let outside = Outside::<SqliteTokio>::new().await;
    SqliteTokio::admin(&outside.database, "PRAGMA journal_mode = WAL").await;
    let sandbox = outside.sandbox().await;
    let mut session = sandbox.binds().session();
    for (setting, expected) in [("journal_mode", "wal"), ("synchronous", "2")] {
        let query = format!("SELECT CAST({setting} AS TEXT) AS text FROM pragma_{setting}");
        assert_eq!(SqliteTokio::text(&session, &query).await.unwrap(), expected);
    }
    SqliteTokio::write(&session, "one").await.unwrap();
    session.commit_all().await.unwrap();
    assert_eq!(within::<SqliteTokio>(&sandbox).await, ["there", "one"]);
    drop(session);
    sandbox.end().await.unwrap();
    assert_eq!(outside.kept().await, ["there"]);
}

#[tokio::test]
async fn binds_that_share_a_connection_share_it_in_the_sandbox() {
    let files = files().await;
    let before = bytes(&files);
    let binds = Binds::builder()
        .namespace("sandbox")
        .recovery(RecoveryOptions::new().without_worker())
        .bind(Sqlite, Source::url(files[0].url()))
        .bind(Archive, Source::url(files[1].url()).attach_to(Sqlite))
        .bind(SqliteB, Source::shared_with(Sqlite))
        .build()
        .unwrap();
    let sandbox = Sandbox::of(&binds).bind(Archive).bind(SqliteB);
    let sandbox = sandbox.start().await.unwrap();
    let mut session = sandbox.binds().session();
    SqliteB::write(&session, "one").await.unwrap();
    diesel::sql_query("INSERT INTO archive.old VALUES (1)")
        .execute(&session.on(Archive))
        .await
        .unwrap();
    assert_eq!(session.commit_all().await.unwrap().binds(), ["lite"]);
    assert_eq!(sandbox.queries(Archive), sandbox.queries(SqliteB));
    assert_eq!(sandbox.queries(Archive).len(), 2);
    assert_eq!(within::<SqliteB>(&sandbox).await, ["there", "one"]);
    // The bind that owns the connection was not declared.
    Sqlite::read(&session).await.unwrap_err();
    drop(session);
    sandbox.end().await.unwrap();
    assert_eq!(bytes(&files), before);
}

/// Production refuses the group too, because each file would commit by itself.
#[tokio::test]
async fn a_group_that_does_not_commit_as_one_is_refused_in_the_sandbox_too() {
    for (mode, expected) in [("wal", false), ("truncate", true)] {
        let files = files().await;
        Sqlite::admin(&files[1], &format!("PRAGMA journal_mode = {mode}")).await;
        let binds = Binds::builder()
            .bind(Sqlite, Source::url(files[0].url()))
            .bind(Archive, Source::url(files[1].url()).attach_to(Sqlite))
            .build()
            .unwrap();
        let sandbox = Sandbox::of(&binds).bind(Sqlite).bind(Archive);
        let sandbox = sandbox.start().await.unwrap();
        for binds in [sandbox.binds(), &binds] {
            let session = binds.session();
            let written = Sqlite::write(&session, "one").await;
            assert_eq!(written.is_ok(), expected, "{mode}: {written:?}");
        }
        sandbox.end().await.unwrap();
    }
}

/// A set-up can open any file, and writes to a file other than the copy would be kept.
#[tokio::test]
async fn a_set_up_that_opens_other_files_than_the_copy_gets_no_sandbox() {
    let files = files().await;
    let before = bytes(&files);
    let (real, other) = (files[0].url().to_owned(), files[1].url().to_owned());
    let attaches = format!("ATTACH DATABASE '{other}' AS other");
    for (ignores, setup, expected) in [(true, String::new(), &real), (false, attaches, &other)] {
        let real = real.clone();
        let binds = Binds::builder().bind(
            Sqlite,
            Source::url(files[0].url()).setup(move |path| {
                let (path, setup) = (
                    if ignores {
                        real.clone()
                    } else {
                        path.to_owned()
                    },
                    setup.clone(),
                );
                async move { open(&path, &setup).await }.boxed()
            }),
        );
        let refused = Sandbox::of(&binds.build().unwrap())
            .bind(Sqlite)
            .start()
            .await;
        let Err(SandboxError::Enclose { source, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert!(source.to_string().contains(expected.as_str()), "{source}");
    }
    // A database in memory is discarded.
    let binds = Binds::builder().bind(
        Sqlite,
        Source::url(files[0].url())
            .setup(|path| open(path, "ATTACH DATABASE ':memory:' AS scratch").boxed()),
    );
    let sandbox = Sandbox::of(&binds.build().unwrap())
        .bind(Sqlite)
        .start()
        .await
        .unwrap();
    assert_eq!(within::<Sqlite>(&sandbox).await, ["there"]);
    sandbox.end().await.unwrap();
    assert_eq!(bytes(&files), before);
}

/// The contents are copied, also if other connections share the database.
#[tokio::test]
async fn a_database_without_a_file_is_copied_to_one() {
    for url in [":memory:", "file:shared_by_two?mode=memory&cache=shared"] {
        let schema =
            "CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)";
        let mut other = open(url, schema).await.unwrap();
        let binds = Binds::builder().bind(
            Sqlite,
            Source::url(url).setup(move |url| open(url, schema).boxed()),
        );
        let binds = binds.build().unwrap();
        let sandbox = Sandbox::of(&binds).bind(Sqlite).start().await.unwrap();
        let mut session = sandbox.binds().session();
        Sqlite::write(&session, "one").await.unwrap();
        session.commit_all().await.unwrap();
        drop(session);
        assert_eq!(within::<Sqlite>(&sandbox).await, ["one"]);
        sandbox.end().await.unwrap();
        let left =
            diesel_async::RunQueryDsl::execute(diesel::sql_query("DELETE FROM notes"), &mut other);
        assert_eq!(left.await.unwrap(), 0, "{url}");
    }
}

/// Diesel has a place for one instrumentation, and does not return it.
#[tokio::test]
async fn an_instrumentation_of_the_application_is_left_alone() {
    let files = files().await;
    for within_ours in [true, false] {
        let binds = Binds::builder().bind(
            Sqlite,
            Source::url(files[0].url()).setup(move |path| {
                async move {
                    let mut connection = open(path, "").await?;
                    let own = |_: InstrumentationEvent<'_>| {};
                    match within_ours {
                        true => connection.set_instrumentation(StatementSpans::over(own)),
                        false => connection.set_instrumentation(own),
                    }
                    Ok(connection)
                }
                .boxed()
            }),
        );
        let binds = binds.build().unwrap();
        let sandbox = Sandbox::of(&binds).bind(Sqlite).start().await.unwrap();
        assert_eq!(within::<Sqlite>(&sandbox).await, ["there"]);
        let asked = catch_unwind(AssertUnwindSafe(|| sandbox.queries(Sqlite).len()));
        assert_eq!(asked.ok(), within_ours.then_some(1));
        sandbox.end().await.unwrap();
    }
}

#[tokio::test]
async fn migrations_are_left_to_the_real_database() {
    const OURS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
    let file = Database::sqlite();
    Sqlite::admin(
        &file,
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)",
    )
    .await;
    let files = [file];
    let before = bytes(&files);
    let binds = Binds::builder()
        .bind(Sqlite, Source::url(files[0].url()))
        .migrations(Sqlite, OURS)
        .build()
        .unwrap();
    let sandbox = Sandbox::of(&binds).bind(Sqlite).start().await.unwrap();
    let refused = sandbox.binds().migrations().run().await.unwrap_err();
    assert!(
        format!("{refused:?}").contains("these are the binds of a sandbox"),
        "{refused:?}"
    );
    sandbox.end().await.unwrap();
    assert_eq!(bytes(&files), before);
}
