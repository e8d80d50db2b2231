//! SQLite: the common queries, and those that only SQLite has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use diesel::prelude::*;
use diesel_async::AsyncConnection as _;
use diesel_binds::{AsyncSqliteConnection, Bind, Binds, Error, RunQueryDsl, Source};
use futures_util::TryStreamExt as _;
use kit::database::Database;

use crate::binding::tables::{Tables, Words};

use self::schema::{NewUser, User, user, users};

#[path = "access.rs"]
mod access;
#[path = "explicit.rs"]
mod explicit;
#[path = "reads.rs"]
mod reads;
#[path = "returning.rs"]
mod returning;
#[path = "schema.rs"]
mod schema;
#[path = "subqueries.rs"]
mod subqueries;
#[path = "upserts.rs"]
mod upserts;
#[path = "writes.rs"]
mod writes;

#[derive(Bind, Default)]
#[bind(key = "main", connection = AsyncSqliteConnection)]
pub struct Main;

#[derive(Bind, Default)]
#[bind(key = "other", connection = AsyncSqliteConnection)]
pub struct Other;

const WORDS: Words = Words {
    id: "INTEGER PRIMARY KEY",
    text: "TEXT",
};

async fn world() -> Tables {
    Tables::of::<Main>(Database::sqlite(), &WORDS).await
}

async fn both() -> Tables {
    let (main, other) = (Database::sqlite(), Database::sqlite());
    Tables::of_both::<Main, Other>(main, other, &WORDS).await
}

#[tokio::test]
async fn replacing_and_ignoring_inserts_are_routed() {
    let world = world().await;
    let session = world.session();
    let ignored = diesel::insert_or_ignore_into(users::table)
        .values(NewUser { name: "ann" })
        .execute(&session)
        .await;
    assert_eq!(ignored.unwrap(), 0);
    let replaced = diesel::replace_into(users::table)
        .values(&user(1, "amy", None))
        .execute(&session)
        .await;
    assert_eq!(replaced.unwrap(), 1);
    let amy: User = users::table.find(1).first(&session).await.unwrap();
    assert_eq!(amy, user(1, "amy", None));
}

/// diesel-async has no insert of several rows for SQLite.
#[tokio::test]
async fn several_rows_are_inserted_at_once() {
    let world = world().await;
    let mut session = world.session();
    let partial = vec![users::name.eq("eve"), users::name.eq("fay")];
    let inserted = diesel::insert_into(users::table)
        .values(partial)
        .execute(&session)
        .await;
    assert_eq!(inserted.unwrap(), 2);
    let whole = vec![user(8, "gus", None), user(9, "hal", 1)];
    let inserted = diesel::insert_into(users::table)
        .values(whole)
        .execute(&session)
        .await;
    assert_eq!(inserted.unwrap(), 2);
    let array = [(users::name.eq("ivo"), users::boss_id.eq(1))];
    let named = diesel::insert_into(users::table)
        .values(array)
        .execute(&session.on(Main))
        .await;
    assert_eq!(named.unwrap(), 1);
    let lent = vec![NewUser { name: "jan" }, NewUser { name: "kim" }];
    let connection = session.connection(Main).await.unwrap();
    let inserted = diesel::insert_into(users::table)
        .values(lent)
        .execute(&connection)
        .await;
    assert_eq!(inserted.unwrap(), 2);
    drop(connection);
    session.commit_all().await.unwrap();
    let all: i64 = users::table
        .count()
        .get_result(&world.session())
        .await
        .unwrap();
    assert_eq!(all, 11);
}

#[tokio::test]
async fn several_rows_of_which_one_fails_leave_nothing_and_the_unit_open() {
    let world = world().await;
    let mut session = world.session();
    for rows in [
        vec![user(8, "eve", None), user(9, "ann", None)],
        vec![user(8, "eve", None), user(1, "fay", None)],
    ] {
        let failed = diesel::insert_into(users::table)
            .values(rows)
            .execute(&session)
            .await;
        assert!(
            matches!(failed, Err(Error::Query { bind: "main", .. })),
            "{failed:?}"
        );
    }
    let partial = vec![users::name.eq("eve"), users::name.eq("ann")];
    let failed = diesel::insert_into(users::table)
        .values(partial)
        .execute(&session)
        .await;
    assert!(
        matches!(failed, Err(Error::Query { bind: "main", .. })),
        "{failed:?}"
    );
    let kept = diesel::insert_into(users::table).values(vec![users::name.eq("gus")]);
    assert_eq!(kept.execute(&session).await.unwrap(), 1);
    session.commit_all().await.unwrap();
    let names = users::table.select(users::name).order(users::id);
    let names: Vec<String> = names.load(&world.session()).await.unwrap();
    assert_eq!(names, ["ann", "bob", "cid", "dan", "gus"]);
}

#[tokio::test]
async fn several_rows_are_a_write() {
    let world = world().await;
    let session = world.read_only();
    let rows = vec![users::name.eq("eve"), users::name.eq("fay")];
    let refused = diesel::insert_into(users::table)
        .values(rows)
        .execute(&session)
        .await;
    assert!(
        matches!(refused, Err(Error::ReadOnly { bind: "main" })),
        "{refused:?}"
    );
}

/// Borrowed rows cannot go to the thread of the connection.
#[tokio::test]
async fn rows_that_borrow_are_inserted_one_at_a_time() {
    let world = world().await;
    let session = world.session();
    let names = ["eve".to_owned(), "fay".to_owned()];
    for name in &names {
        let row = NewUser { name };
        diesel::insert_into(users::table)
            .values(row)
            .execute(&session)
            .await
            .unwrap();
    }
    let all: i64 = users::table.count().get_result(&session).await.unwrap();
    assert_eq!(all, 6);
}

diesel::define_sql_function! {
    /// Counts the rows that are read.
    fn counted(id: diesel::sql_types::Integer) -> diesel::sql_types::Integer;
}

/// diesel-async runs a statement of SQLite in one piece. If this test fails, the documentation of `load_stream` must
/// change.
#[tokio::test]
async fn a_stream_has_read_all_rows_before_the_first_comes() {
    let database = Database::sqlite();
    let read = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&read);
    let binds = Binds::builder()
        .bind(
            Main,
            Source::url(database.url()).setup(move |path| {
                let counter = Arc::clone(&counter);
                Box::pin(async move {
                    let mut connection = AsyncSqliteConnection::establish(path).await?;
                    let registering = connection.spawn_blocking(move |connection| {
                        counted_utils::register_impl(connection, move |id: i32| {
                            counter.fetch_add(1, Ordering::SeqCst);
                            id
                        })
                    });
                    let registered = registering.await;
                    registered.map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
                    Ok(connection)
                })
            }),
        )
        .build()
        .unwrap();
    let session = binds.session();
    let create = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, boss_id INTEGER)";
    let named = session.on(Main);
    diesel::sql_query(create).execute(&named).await.unwrap();
    let rows: Vec<_> = (0..100).map(|n| users::name.eq(format!("{n}"))).collect();
    let inserted = diesel::insert_into(users::table).values(rows);
    assert_eq!(inserted.execute(&session).await.unwrap(), 100);
    let query = users::table.select(counted(users::id));
    let stream = query.load_stream::<i32>(&session).await.unwrap();
    let mut stream = std::pin::pin!(stream);
    assert_eq!(stream.try_next().await.unwrap(), Some(1));
    assert_eq!(read.load(Ordering::SeqCst), 100);
}

/// The documentation of `load_stream` recommends pages for a large result.
#[tokio::test]
async fn a_large_result_is_read_in_pages_by_its_key() {
    let world = world().await;
    let session = world.session();
    let (mut last, mut names) = (0, Vec::new());
    loop {
        let page: Vec<(i32, String)> = users::table
            .filter(users::id.gt(last))
            .order(users::id)
            .limit(3)
            .select((users::id, users::name))
            .load(&session)
            .await
            .unwrap();
        let Some((id, _)) = page.last() else { break };
        last = *id;
        names.extend(page.into_iter().map(|(_, name)| name));
    }
    assert_eq!(names, ["ann", "bob", "cid", "dan"]);
}
