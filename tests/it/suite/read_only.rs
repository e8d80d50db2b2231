//! Read-only units: nothing is written, whatever the types allow, and the connection is unchanged afterwards.

use diesel_async::SimpleAsyncConnection as _;
use diesel_binds::{Bind, BindOptions, Binds, CommitError, Error, SessionOptions};
use kit::database::Database;
use kit::side::{PoolKind, Side};
use kit::world::{Sides, World};

const INSERT: &str = "INSERT INTO notes (text) VALUES ('written')";

fn read_only() -> SessionOptions {
    SessionOptions::new().read_only()
}

/// Returns binds whose pool has one connection, so that the next unit finds the state that a unit leaves.
async fn on_one_connection<S: Side>(pool: PoolKind) -> (Database, Binds) {
    let database = S::database().await;
    let builder = S::register(
        Binds::builder(),
        database.url(),
        pool,
        1,
        BindOptions::new(),
    )
    .await;
    (database, builder.build().unwrap())
}

pub(crate) async fn a_read_only_unit_refuses_what_may_write<S: Side>(pool: PoolKind) {
    let (database, binds) = on_one_connection::<S>(pool).await;
    let mut session = binds.with(read_only()).session();
    for refused in [
        S::write(&session, "typed").await,
        S::sql(&session, INSERT).await,
    ] {
        assert!(matches!(refused, Err(Error::ReadOnly { bind }) if bind == S::Bind::KEY));
    }
    assert_eq!(S::read(&session).await.unwrap(), [""; 0]);
    let committed = session.commit_all().await.unwrap();
    assert_eq!(committed.gid(), None);
    assert_eq!(S::rows(&database).await, [""; 0]);
}

/// A statement that is declared read-only, and one on the raw connection, reach the server, which refuses them.
pub(crate) async fn the_server_refuses_to_write_in_a_read_only_unit<S: Side>(pool: PoolKind) {
    let (database, binds) = on_one_connection::<S>(pool).await;
    let mut session = binds.with(read_only()).session();
    assert!(matches!(
        S::read_sql(&session, INSERT).await,
        Err(Error::Query { .. })
    ));
    session.rollback_all().await.unwrap();
    {
        let mut connection = session.connection(S::bind()).await.unwrap();
        let written = connection.raw().unwrap().batch_execute(INSERT).await;
        assert!(written.is_err());
    }
    match session.commit_all().await {
        Ok(_) | Err(CommitError::RolledBack { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    assert_eq!(S::rows(&database).await, [""; 0]);
}

/// Text that is declared read-only may still write, and hide that it did.
pub(crate) async fn a_read_only_unit_that_text_made_writable_keeps_nothing<S: Side>(
    pool: PoolKind,
) {
    let (database, binds) = on_one_connection::<S>(pool).await;
    for (writable, again) in [
        ("SET TRANSACTION READ WRITE", "SELECT 1"),
        ("SET TRANSACTION READ WRITE", "SET TRANSACTION READ ONLY"),
        (
            "SET LOCAL transaction_read_only = off",
            "SET LOCAL transaction_read_only = on",
        ),
        ("PRAGMA query_only = OFF", "SELECT 1"),
        ("PRAGMA query_only = OFF", "PRAGMA query_only = ON"),
    ] {
        let mut session = binds.with(read_only()).session();
        let made = S::read_sql(&session, writable).await.is_ok();
        let written = S::read_sql(&session, INSERT).await.is_ok();
        let _ = S::read_sql(&session, again).await;
        let ended = session.commit_all().await;
        if made && written {
            assert!(
                matches!(ended, Err(CommitError::RolledBack { .. })),
                "{writable}: {ended:?}"
            );
        }
        assert_eq!(S::rows(&database).await, [""; 0], "{writable}");
    }
    let mut session = binds.session();
    S::write(&session, "written").await.unwrap();
    session.commit_all().await.unwrap();
}

/// This holds for every ending of the unit.
pub(crate) async fn a_connection_may_write_again_after_a_read_only_unit<S: Side>(pool: PoolKind) {
    let (database, binds) = on_one_connection::<S>(pool).await;
    let mut expected = Vec::new();
    for ending in ["committed", "rolled back", "dropped", "failed"] {
        let mut session = binds.with(read_only()).session();
        S::read(&session).await.unwrap();
        match ending {
            "committed" => drop(session.commit_all().await.unwrap()),
            "rolled back" => session.rollback_all().await.unwrap(),
            "failed" => {
                S::read_sql(&session, INSERT).await.unwrap_err();
                drop(session.commit_all().await);
            }
            _ => drop(session),
        }
        let mut session = binds.session();
        S::write(&session, ending).await.unwrap();
        session.commit_all().await.unwrap();
        expected.push(ending);
        assert_eq!(S::rows(&database).await, expected);
    }
}

pub(crate) async fn a_read_only_unit_needs_no_decision<S: Sides>(pool: PoolKind) {
    let world = World::of::<S>(pool).await;
    let mut session = world.binds.session();
    S::write(&session, "kept").await.unwrap();
    session.commit_all().await.unwrap();
    let mut session = world.binds.with(read_only()).session();
    assert!(matches!(
        S::write(&session, "refused").await,
        Err(Error::ReadOnly { .. })
    ));
    for read in S::read(&session).await.unwrap() {
        assert_eq!(read, ["kept"]);
    }
    let committed = session.commit_all().await.unwrap();
    assert_eq!(committed.gid(), None);
    assert_eq!(committed.binds().len(), world.databases.len());
}
