//! Types that may cross threads, and the forms in which a session can be passed.

use diesel::prelude::*;
use diesel_binds::query::On;
use diesel_binds::{
    AsyncSqliteConnection, Bind, Binds, Commit, CommitError, Error, Retry, RunQueryDsl,
    SaveChangesDsl, Session, SessionOptions, Source, bind_tables,
};
use futures_util::TryStreamExt as _;
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

#[derive(Queryable, Identifiable, AsChangeset)]
struct Note {
    id: i32,
    text: String,
}

async fn binds() -> (Binds, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.db");
    let binds = Binds::builder()
        .bind(Notes, Source::url(file.to_str().unwrap()))
        .build()
        .unwrap();
    let mut connection = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    diesel::connection::SimpleConnection::batch_execute(
        &mut connection,
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL); INSERT INTO notes VALUES (1, 'one')",
    )
    .unwrap();
    (binds, folder)
}

fn sent<T: Send>(future: T) -> T {
    future
}

#[test]
fn values_may_be_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Session>();
    shared::<SessionOptions>();
    shared::<Binds>();
    shared::<Error>();
    shared::<CommitError>();
    shared::<Commit>();
    shared::<On<'static, Notes>>();
}

#[tokio::test]
async fn futures_of_queries_and_ends_may_be_sent() {
    let (binds, _folder) = binds().await;
    let mut session = binds.session();
    let all = notes::table.select(notes::text);
    assert_eq!(sent(all.load::<String>(&session)).await.unwrap(), ["one"]);
    assert_eq!(
        sent(all.get_results::<String>(&session)).await.unwrap(),
        ["one"]
    );
    assert_eq!(
        sent(all.get_result::<String>(&session)).await.unwrap(),
        "one"
    );
    assert_eq!(sent(all.first::<String>(&session)).await.unwrap(), "one");
    let rows = sent(sent(all.load_stream::<String>(&session)).await.unwrap());
    assert_eq!(sent(rows.try_collect::<Vec<_>>()).await.unwrap(), ["one"]);
    let changed = diesel::update(notes::table).set(notes::text.eq("two"));
    assert_eq!(sent(changed.execute(&session)).await.unwrap(), 1);
    let note = Note {
        id: 1,
        text: "three".into(),
    };
    let saved: Note = sent(note.save_changes(&session)).await.unwrap();
    assert_eq!(saved.text, "three");
    let named = diesel::sql_query("DELETE FROM notes");
    assert_eq!(sent(named.execute(&session.on(Notes))).await.unwrap(), 1);
    {
        let mut connection = sent(session.connection(Notes)).await.unwrap();
        assert!(
            sent(all.load::<String>(&connection))
                .await
                .unwrap()
                .is_empty()
        );
        let _ = sent(connection.raw().unwrap());
    }
    let _: Commit = sent(session.commit_all()).await.unwrap();
    sent(session.rollback_all()).await.unwrap();
    sent(session.commit_only(Notes)).await.unwrap();
    sent(binds.transaction(async |session| add(session, "four").await))
        .await
        .unwrap();
    let options = SessionOptions::new();
    let _ = sent(
        binds
            .with(options)
            .transaction_with_commit(async |session| add(session, "five").await),
    )
    .await
    .unwrap();
    let retrying = binds.with(SessionOptions::new()).retrying(Retry::new());
    let _ = sent(retrying.transaction_with_commit(async |session| add(session, "six").await))
        .await
        .unwrap();
    sent(binds.with(SessionOptions::new()).scope(async {})).await;
    sent(binds.close()).await;
}

async fn add(session: &mut Session, text: &str) -> Result<usize, Error> {
    diesel::insert_into(notes::table)
        .values(notes::text.eq(text))
        .execute(session)
        .await
}

#[tokio::test]
async fn a_unit_may_run_in_a_spawned_task() {
    let (binds, _folder) = binds().await;
    let spawned = tokio::spawn({
        let binds = binds.clone();
        async move {
            let mut session = binds.session();
            let mutable = &mut session;
            add(mutable, "two").await?;
            let rows: Vec<String> = notes::table.select(notes::text).load(mutable).await?;
            session.commit_all().await?;
            Ok::<_, Error>(rows)
        }
    });
    assert_eq!(spawned.await.unwrap().unwrap(), ["one", "two"]);
    let spawned = tokio::spawn({
        let binds = binds.clone();
        async move {
            let text = String::from("three");
            binds
                .transaction(async |session| add(session, &text).await)
                .await
        }
    });
    assert_eq!(spawned.await.unwrap().unwrap(), 1);
    let session = binds.session();
    let count: i64 = notes::table.count().get_result(&session).await.unwrap();
    assert_eq!(count, 3);
}

#[tokio::test]
async fn a_session_is_passed_as_any_reference() {
    let (binds, _folder) = binds().await;
    let owned = &mut binds.session();

    async fn shared(session: &Session) -> Result<i64, Error> {
        notes::table.count().get_result(session).await
    }
    async fn mutable(session: &mut Session) -> Result<i64, Error> {
        let first: i64 = notes::table.count().get_result(session).await?;
        let again: i64 = notes::table.count().get_result(&*session).await?;
        Ok(first.max(again).max(shared(session).await?))
    }
    assert_eq!(mutable(owned).await.unwrap(), 1);
    assert_eq!(shared(owned).await.unwrap(), 1);
    owned.rollback_all().await.unwrap();
    let exclusive: &&mut Session = &owned;
    let count: i64 = notes::table.count().get_result(exclusive).await.unwrap();
    assert_eq!(count, 1);
    owned.rollback_all().await.unwrap();
    let value = binds.session();
    let twice: &mut &Session = &mut &value;
    let count: i64 = notes::table.count().get_result(twice).await.unwrap();
    assert_eq!(count, 1);
    let rows: Vec<(i32, String)> = notes::table.load(&value).await.unwrap();
    assert_eq!(rows, [(1, "one".to_owned())]);
}

#[tokio::test]
async fn two_queries_on_one_bind_take_turns() {
    let (binds, _folder) = binds().await;
    let session = binds.session();
    let (first, second) = tokio::join!(
        notes::table.count().get_result::<i64>(&session),
        diesel::delete(notes::table).execute(&session),
    );
    assert_eq!((first.unwrap(), second.unwrap()), (1, 1));
}

/// Methods of our trait have names of other methods, and must not hide those.
#[test]
fn methods_of_the_same_name_stay_what_they_are() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    let flag = Arc::new(AtomicBool::new(true));
    assert!(flag.load(Ordering::SeqCst));
    assert_eq!([1, 2].first(), Some(&1));
}
