//! The functions of a server that describe the last statement of a connection: they describe that of the application, not
//! one of the library.

use std::time::Duration;

use diesel_binds::{Error, Session, SessionOptions};
use kit::side::{MariadbA, PoolKind, PostgresA, Side, Sqlite};
use kit::world::World;

use crate::suite::second::Second;

/// A deadline that no test reaches.
const LATE: Duration = Duration::from_secs(60);

/// A database with functions that describe the last statement of a connection.
pub(crate) trait Describes: Side {
    /// The expression for the id that the last insert made.
    const LAST_ID: &'static str;
    /// The expression for the rows that the last statement changed; `None` if there is none.
    const CHANGED: Option<&'static str>;
    /// A statement that may have ended the transaction, as far as the library can tell.
    fn unclear() -> &'static str {
        // MySQL prepares no statement for savepoints, and Diesel sends no other.
        match Self::is_mysql() {
            true => "SET @of_the_application = 1",
            false => "SAVEPOINT of_the_application",
        }
    }
}

impl Describes for PostgresA {
    const LAST_ID: &'static str = "lastval()::text || '/' || currval('notes_id_seq')::text";
    const CHANGED: Option<&'static str> = None;
}

impl Describes for MariadbA {
    const LAST_ID: &'static str = "CONCAT(LAST_INSERT_ID(), '/', LAST_INSERT_ID())";
    const CHANGED: Option<&'static str> = Some("CAST(ROW_COUNT() AS CHAR)");
}

impl Describes for Sqlite {
    const LAST_ID: &'static str = "last_insert_rowid() || '/' || last_insert_rowid()";
    const CHANGED: Option<&'static str> = Some("CAST(changes() AS TEXT)");
}

async fn value<S: Side>(session: &Session, expression: &str) -> String {
    let query = format!("SELECT {expression} AS text");
    S::text(session, &query).await.unwrap()
}

/// Returns units with and without a deadline, and with a second bind if there is one. Each has its own world, in which
/// the ids are known.
async fn worlds<S: Describes, Other: Second>(pool: PoolKind) -> Vec<(World, SessionOptions)> {
    let mut worlds = Vec::new();
    for options in [SessionOptions::new(), SessionOptions::new().deadline(LATE)] {
        worlds.push((World::of::<Other::With<S>>(pool).await, options));
    }
    worlds
}

async fn assert_last_id<S: Describes>(session: &Session, id: u32) {
    assert_eq!(value::<S>(session, S::LAST_ID).await, format!("{id}/{id}"));
    // A question does not change the answer.
    assert_eq!(value::<S>(session, S::LAST_ID).await, format!("{id}/{id}"));
}

pub(crate) async fn the_last_id_is_that_of_the_application<S: Describes, Other: Second>(
    pool: PoolKind,
) {
    for (world, options) in worlds::<S, Other>(pool).await {
        let mut session = world.binds.with(options).session();
        Other::write(&session, "beside").await.unwrap();
        S::write(&session, "typed").await.unwrap();
        assert_last_id::<S>(&session, 1).await;
        let text = "INSERT INTO notes (text) VALUES ('in text')";
        S::sql(&session, text).await.unwrap();
        assert_last_id::<S>(&session, 2).await;
        // The savepoints of the library are not seen, either.
        session
            .savepoint::<_, Error, _>(async |session| {
                assert_last_id::<S>(session, 2).await;
                S::write(session, "within").await?;
                assert_last_id::<S>(session, 3).await;
                Ok(())
            })
            .await
            .unwrap();
        assert_last_id::<S>(&session, 3).await;
        // A statement that may have ended the transaction is followed by a check.
        S::sql(&session, S::unclear()).await.unwrap();
        assert_last_id::<S>(&session, 3).await;
        Other::write(&session, "later").await.unwrap();
        assert_last_id::<S>(&session, 3).await;
        session.commit_all().await.unwrap();
    }
}

pub(crate) async fn the_changed_rows_are_those_of_the_application<S: Describes, Other: Second>(
    pool: PoolKind,
) {
    let Some(changed) = S::CHANGED else {
        return;
    };
    for (world, options) in worlds::<S, Other>(pool).await {
        let mut session = world.binds.with(options).session();
        Other::write(&session, "beside").await.unwrap();
        let three = "INSERT INTO notes (text) VALUES ('a'), ('b'), ('c')";
        S::sql(&session, three).await.unwrap();
        assert_eq!(value::<S>(&session, changed).await, "3");
        S::rename(&session, "a", "d").await.unwrap();
        assert_eq!(value::<S>(&session, changed).await, "1");
        S::sql(&session, "UPDATE notes SET id = id + 100 WHERE text < 'd'")
            .await
            .unwrap();
        assert_eq!(value::<S>(&session, changed).await, "2");
        S::sql(&session, "DELETE FROM notes WHERE text = 'no such row'")
            .await
            .unwrap();
        assert_eq!(value::<S>(&session, changed).await, "0");
        session.commit_all().await.unwrap();
    }
}

/// SQLite counts all changes of a connection: between two statements of the application there are none.
pub(crate) async fn all_changes_of_sqlite_within_a_unit_are_those_of_the_application<
    Other: Second,
>(
    pool: PoolKind,
) {
    let all = "CAST(total_changes() AS TEXT)";
    for (world, options) in worlds::<Sqlite, Other>(pool).await {
        let mut session = world.binds.with(options).session();
        let count = async |session: &Session| -> i64 {
            value::<Sqlite>(session, all).await.parse().unwrap()
        };
        let before = count(&session).await;
        <Sqlite as Side>::write(&session, "one").await.unwrap();
        Sqlite::sql(
            &session,
            "INSERT INTO notes (text) VALUES ('two'), ('three')",
        )
        .await
        .unwrap();
        Other::write(&session, "beside").await.unwrap();
        assert_eq!(count(&session).await, before + 3);
        session.rollback_all().await.unwrap();
    }
}
