//! A closure or a hook with a borrowed session puts another session in its place. No commit is then reported.

use std::mem::{replace, swap};
use std::sync::{Arc, Mutex};

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel_binds::error::{AbortReason, Fault};
use diesel_binds::{
    AsyncSqliteConnection, Bind, Binds, CommitError, Error, Propagation, Retry, RunQueryDsl,
    Session, Source, bind_tables, current,
};
use tempfile::TempDir;

diesel::table! {
    notes (id) {
        id -> Integer,
        text -> Text,
    }
}

#[derive(Bind, Default)]
#[bind(key = "notes", connection = AsyncSqliteConnection)]
pub struct Notes;

bind_tables!(Notes => notes);

struct NotesFile {
    binds: Binds,
    file: String,
    _folder: TempDir,
}

impl NotesFile {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notes.db").display().to_string();
        let binds = Binds::builder()
            .bind(Notes, Source::url(file.as_str()))
            .build()
            .unwrap();
        let world = Self {
            binds,
            file,
            _folder: folder,
        };
        let create = diesel::sql_query("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)");
        diesel::RunQueryDsl::execute(create, &mut world.aside()).unwrap();
        world
    }

    fn aside(&self) -> SqliteConnection {
        SqliteConnection::establish(&self.file).unwrap()
    }

    /// Returns the number of notes, after every session is gone.
    async fn kept(self) -> i64 {
        self.binds.close().await;
        let count = notes::table.count();
        diesel::RunQueryDsl::get_result(count, &mut self.aside()).unwrap()
    }
}

async fn write(session: &Session) {
    let note = diesel::insert_into(notes::table).values(notes::text.eq("one"));
    assert_eq!(note.execute(session).await.unwrap(), 1);
}

fn is_exchanged(error: &Error) -> bool {
    matches!(
        error,
        Error::AbortOnly {
            reason: AbortReason::Exchanged,
            ..
        }
    )
}

/// Puts another session in the place of the borrowed one, and returns the borrowed one.
fn take(place: &mut Session, binds: &Binds) -> Session {
    replace(place, binds.session())
}

#[tokio::test]
async fn a_closure_that_exchanges_its_session_commits_nothing() {
    let world = NotesFile::new();
    let binds = &world.binds;
    let taken = Mutex::new(None);
    let failed = binds
        .transaction(async |session| {
            write(session).await;
            *taken.lock().unwrap() = Some(take(session, binds));
            Ok::<_, Error>(())
        })
        .await
        .unwrap_err();
    assert!(is_exchanged(&failed), "{failed:?}");
    let mut taken = taken.into_inner().unwrap().unwrap();
    let ended = taken.commit_all().await;
    assert!(
        matches!(ended, Err(CommitError::InsideTransaction)),
        "{ended:?}"
    );
    let written = diesel::insert_into(notes::table)
        .values(notes::text.eq("two"))
        .execute(&taken)
        .await;
    assert!(is_exchanged(&written.unwrap_err()));
    // The unit is rolled back although its session still exists: it holds no lock any more.
    let mut aside = world.aside();
    let written = tokio::task::spawn_blocking(move || {
        aside
            .batch_execute("PRAGMA busy_timeout = 20000; INSERT INTO notes (text) VALUES ('aside')")
    });
    written.await.unwrap().unwrap();
    drop(taken);
    assert_eq!(world.kept().await, 1);
}

#[tokio::test]
async fn a_closure_that_drops_its_session_commits_nothing() {
    let world = NotesFile::new();
    let binds = &world.binds;
    let once = binds
        .transaction(async |session| {
            write(session).await;
            drop(take(session, binds));
            Ok::<_, Error>(())
        })
        .await;
    assert!(is_exchanged(&once.unwrap_err()));
    let retried = binds
        .retrying(Retry::new())
        .transaction(async |session| {
            write(session).await;
            drop(take(session, binds));
            Ok::<_, Error>(())
        })
        .await
        .unwrap_err();
    assert_eq!(retried.attempts(), 1);
    assert!(is_exchanged(retried.error()));
    assert_eq!(world.kept().await, 0);
}

#[tokio::test]
async fn the_session_that_was_put_in_the_place_commits_nothing_either() {
    let world = NotesFile::new();
    let binds = &world.binds;
    let other = binds.session();
    write(&other).await;
    let other = Mutex::new(other);
    let failed = binds
        .transaction(async |session| {
            swap(session, &mut other.lock().unwrap());
            Ok::<_, Error>(())
        })
        .await;
    assert!(is_exchanged(&failed.unwrap_err()));
    drop(other);
    assert_eq!(world.kept().await, 0);
}

#[tokio::test]
async fn the_error_of_a_closure_stays() {
    let world = NotesFile::new();
    let binds = &world.binds;
    let failed: Result<(), Error> = binds
        .transaction(async |session| {
            write(session).await;
            drop(take(session, binds));
            Err(Error::InsideUnit)
        })
        .await;
    assert!(matches!(failed, Err(Error::InsideUnit)));
    assert_eq!(world.kept().await, 0);
}

#[tokio::test]
async fn nested_work_that_exchanges_its_session_ends_both_units() {
    for propagation in [Propagation::Join, Propagation::New, Propagation::Never] {
        let world = NotesFile::new();
        let binds = &world.binds;
        let mut outer = binds.session();
        if propagation == Propagation::Join {
            write(&outer).await;
        }
        let other = Mutex::new(binds.session());
        let failed = outer
            .transaction(propagation, async |session| {
                if propagation != Propagation::Join {
                    write(session).await;
                }
                swap(session, &mut other.lock().unwrap());
                Ok::<_, Error>(())
            })
            .await
            .unwrap_err();
        assert!(is_exchanged(&failed), "{propagation:?}: {failed:?}");
        let mut other = other.into_inner().unwrap();
        if propagation != Propagation::New {
            for session in [&mut outer, &mut other] {
                let ended = session.commit_all().await;
                assert!(
                    matches!(
                        ended,
                        Err(CommitError::RolledBack {
                            source: Fault::Exchanged,
                            ..
                        })
                    ),
                    "{propagation:?}: {ended:?}"
                );
            }
        }
        drop((outer, other));
        assert_eq!(world.kept().await, 0, "{propagation:?}");
    }
}

#[tokio::test]
async fn a_savepoint_that_exchanges_its_session_ends_both_units() {
    for fails in [false, true] {
        let world = NotesFile::new();
        let binds = &world.binds;
        let mut session = binds.session();
        write(&session).await;
        let other = Mutex::new(binds.session());
        let failed = session
            .savepoint(async |session| {
                swap(session, &mut other.lock().unwrap());
                match fails {
                    true => Err(Error::InsideUnit),
                    false => Ok(()),
                }
            })
            .await
            .unwrap_err();
        assert_eq!(is_exchanged(&failed), !fails, "{failed:?}");
        let mut other = other.into_inner().unwrap();
        for session in [&mut session, &mut other] {
            let ended = session.commit_all().await;
            assert!(
                matches!(
                    ended,
                    Err(CommitError::RolledBack {
                        source: Fault::Exchanged,
                        ..
                    })
                ),
                "{ended:?}"
            );
        }
        drop((session, other));
        assert_eq!(world.kept().await, 0);
    }
}

#[tokio::test]
async fn a_hook_that_exchanges_its_session_keeps_the_unit_from_being_committed() {
    let world = NotesFile::new();
    let mut session = world.binds.session();
    write(&session).await;
    let taken = Arc::new(Mutex::new(None));
    session.before_commit({
        let (taken, binds) = (Arc::clone(&taken), world.binds.clone());
        async move |session| {
            *taken.lock().unwrap() = Some(take(session, &binds));
            Ok::<_, Error>(())
        }
    });
    let ended = session.commit_all().await;
    assert!(
        matches!(
            ended,
            Err(CommitError::RolledBack {
                source: Fault::Exchanged,
                ..
            })
        ),
        "{ended:?}"
    );
    let mut taken = taken.lock().unwrap().take().unwrap();
    let ended = taken.commit_all().await;
    assert!(
        matches!(
            ended,
            Err(CommitError::RolledBack {
                source: Fault::Exchanged,
                ..
            })
        ),
        "{ended:?}"
    );
    drop((session, taken));
    assert_eq!(world.kept().await, 0);
}

#[tokio::test]
async fn sessions_of_two_closures_that_are_exchanged_commit_nothing() {
    let world = NotesFile::new();
    let binds = &world.binds;
    let failed = binds
        .transaction(async |outer| {
            write(outer).await;
            let outer = Mutex::new(outer);
            let inner = binds
                .transaction(async |inner| {
                    swap(inner, &mut outer.lock().unwrap());
                    Ok::<_, Error>(())
                })
                .await;
            assert!(is_exchanged(&inner.unwrap_err()));
            Ok::<_, Error>(())
        })
        .await;
    assert!(is_exchanged(&failed.unwrap_err()));
    assert_eq!(world.kept().await, 0);
}

#[tokio::test]
async fn a_session_that_is_put_back_commits() {
    let world = NotesFile::new();
    let binds = &world.binds;
    let done = binds
        .transaction(async |session| {
            let taken = take(session, binds);
            write(&taken).await;
            *session = taken;
            Ok::<_, Error>(())
        })
        .await;
    done.unwrap();
    assert_eq!(world.kept().await, 1);
}

#[tokio::test]
async fn a_scope_whose_session_is_exchanged_commits_nothing() {
    let world = NotesFile::new();
    let binds = &world.binds;
    let taken = binds
        .scope(async {
            let scope = current().unwrap();
            write(&scope.lock().unwrap()).await;
            let taken = take(&mut scope.lock().unwrap(), binds);
            let read = notes::table.count().get_result::<i64>(&scope).await;
            assert!(is_exchanged(&read.unwrap_err()));
            assert!(is_exchanged(&scope.lock().unwrap_err()));
            assert!(is_exchanged(&scope.commit_all().await.unwrap_err()));
            assert!(is_exchanged(&scope.rollback_all().await.unwrap_err()));
            taken
        })
        .await;
    drop(taken);
    assert_eq!(world.kept().await, 0);
}
