//! Queries of an application whose tables are declared in another crate.

use binds::{Binds, Error, OptionalExt as _, RunQueryDsl, SaveChangesDsl, Session, Source};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use tempfile::TempDir;
use test_app::generic::{self, key};
use test_app::models::local::Setting;
use test_app::models::{Address, Entry, NewUser, Tag, User};
use test_app::own::{self, Job, Jobs};
use test_schema::accounts::{addresses, users};
use test_schema::ledger::{entries, tags};
use test_schema::{Accounts, Ledger, settings};

/// Three files with a table each that no other has.
async fn binds() -> (Binds, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, schema: &str| {
        let path = folder.path().join(name).to_str().unwrap().to_owned();
        let mut connection = SqliteConnection::establish(&path).unwrap();
        connection.batch_execute(schema).unwrap();
        path
    };
    let accounts = file(
        "accounts.db",
        "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT, balance BIGINT NOT NULL);
        CREATE TABLE addresses (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, city TEXT NOT NULL);
        CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
        INSERT INTO users VALUES (1, 'ann', 'admin', 100), (2, 'bob', NULL, 50);
        INSERT INTO addresses VALUES (1, 1, 'Rome')",
    );
    let ledger = file(
        "ledger.db",
        "CREATE TABLE entries (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, amount BIGINT NOT NULL,
            noted_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
        CREATE TABLE tags (entry_id INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (entry_id, name));
        INSERT INTO entries (id, user_id, amount) VALUES (1, 1, 30)",
    );
    let jobs = file(
        "jobs.db",
        "CREATE TABLE jobs (id INTEGER PRIMARY KEY, kind TEXT NOT NULL);
        CREATE TABLE runs (id INTEGER PRIMARY KEY, job_id INTEGER NOT NULL)",
    );
    let binds = Binds::builder()
        .bind(Accounts, Source::url(accounts))
        .bind(Ledger, Source::url(ledger))
        .bind(Jobs, Source::url(jobs))
        .build()
        .unwrap();
    (binds, folder)
}

#[test]
fn a_model_takes_the_bind_of_its_table() {
    assert_eq!(key::<users::table>(), "accounts");
    assert_eq!(key::<User>(), "accounts");
    assert_eq!(key::<NewUser<'_>>(), "accounts");
    assert_eq!(key::<Address>(), "accounts");
    assert_eq!(key::<Setting>(), "accounts");
    assert_eq!(key::<Entry<i64>>(), "ledger");
    assert_eq!(key::<Tag<'_>>(), "ledger");
    assert_eq!(key::<tags::table>(), "ledger");
    assert_eq!(key::<Job>(), "jobs");
    assert_eq!(key::<own::runs::table>(), "jobs");
}

#[tokio::test]
async fn tables_of_a_schema_file_are_routed() {
    let (binds, _folder) = binds().await;
    let session = binds.session();
    let homes: Vec<(User, Option<Address>)> = users::table
        .left_join(addresses::table)
        .order(users::id)
        .load(&session)
        .await
        .unwrap();
    assert_eq!(homes[0].0.type_.as_deref(), Some("admin"));
    assert_eq!(homes[0].1.as_ref().unwrap().city, "Rome");
    assert_eq!(homes[1].1, None);
    let of_ann: Vec<Address> = Address::belonging_to(&homes[0].0)
        .load(&session)
        .await
        .unwrap();
    assert_eq!(of_ann.len(), 1);
    let tagged = entries::table
        .left_join(tags::table)
        .select((entries::id, tags::name.nullable()));
    let tagged: Vec<(i32, Option<String>)> = tagged.load(&session).await.unwrap();
    assert_eq!(tagged, [(1, None)]);
}

#[tokio::test]
async fn several_models_of_one_table_are_written_and_read() {
    let (binds, _folder) = binds().await;
    let mut session = binds.session();
    let cid = NewUser {
        id: 3,
        name: "cid",
        balance: 7,
    };
    diesel::insert_into(users::table)
        .values(&cid)
        .execute(&session)
        .await
        .unwrap();
    let mut read: User = users::table.find(3).first(&session).await.unwrap();
    read.balance = 8;
    let saved: User = read.save_changes(&session).await.unwrap();
    assert_eq!(saved, read);
    let nobody: Option<User> = users::table
        .find(9)
        .first(&session)
        .await
        .optional()
        .unwrap();
    assert_eq!(nobody, None);
    assert_eq!(session.commit_all().await.unwrap().binds(), ["accounts"]);
}

#[tokio::test]
async fn a_model_of_a_module_and_a_generic_one_are_routed() {
    let (binds, _folder) = binds().await;
    let mut session = binds.session();
    let setting = Setting {
        name: "colour".into(),
        value: "red".into(),
    };
    diesel::insert_into(settings::table)
        .values(&setting)
        .execute(&session)
        .await
        .unwrap();
    let read: Vec<Setting> = settings::table.load(&session).await.unwrap();
    assert_eq!(read, [setting]);
    session.rollback_all().await.unwrap();

    let tag = Tag {
        entry_id: 1,
        name: "rent",
    };
    diesel::insert_into(tags::table)
        .values(&tag)
        .execute(&session)
        .await
        .unwrap();
    let entry: Entry<i64> = entries::table
        .inner_join(tags::table)
        .select((entries::id, entries::amount))
        .first(&session)
        .await
        .unwrap();
    assert_eq!(entry, Entry { id: 1, amount: 30 });
}

#[tokio::test]
async fn a_bind_of_a_crate_that_renames_the_library_is_routed() {
    let (binds, _folder) = binds().await;
    let session = binds.session();
    let job = Job {
        id: 1,
        kind: "mail".into(),
    };
    diesel::insert_into(own::jobs::table)
        .values(&job)
        .execute(&session)
        .await
        .unwrap();
    assert_eq!(own::jobs::table.first::<Job>(&session).await.unwrap(), job);
    let runs: i64 = own::runs::table.count().get_result(&session).await.unwrap();
    assert_eq!(runs, 0);
}

#[tokio::test]
async fn generic_code_finds_the_database_of_its_arguments() {
    let (binds, _folder) = binds().await;
    let session = binds.session();
    async fn both<F>(found: F, expected: i64)
    where
        F: Future<Output = Result<i64, Error>> + Send,
    {
        assert_eq!(found.await.unwrap(), expected);
    }
    both(generic::count(&session, users::table), 2).await;
    both(generic::count(&session, entries::table), 1).await;
    both(generic::count::<Jobs, _>(&session, own::jobs::table), 0).await;
    both(generic::count_anywhere(&session, users::table), 2).await;
    both(
        generic::count_anywhere(&session, entries::table.filter(entries::id.gt(1))),
        0,
    )
    .await;
    let deleted = generic::execute(&session, Ledger, "DELETE FROM entries").await;
    assert_eq!(deleted.unwrap(), 1);
}

#[tokio::test]
async fn a_function_takes_the_session_of_its_caller() {
    async fn names(session: &mut Session) -> Result<Vec<String>, Error> {
        users::table
            .select(users::name)
            .order(users::id)
            .load(session)
            .await
    }
    let (binds, _folder) = binds().await;
    let found = binds
        .transaction(async |session| names(session).await)
        .await;
    assert_eq!(found.unwrap(), ["ann", "bob"]);
}
