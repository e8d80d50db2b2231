//! Two binds on one database: one connection, one transaction, one plain commit.

use diesel::prelude::*;
use diesel_binds::build::FromUrl;
use diesel_binds::{Binds, Error, PoolOptions, RunQueryDsl, Session, Source};
use kit::database::Database;
use kit::side::{PostgresA, Side, Sqlite};

use crate::registry::binds::{Accounts, Archive, Cache, Orders, account, hit, page, purchase};

const TABLES: &str = "CREATE TABLE account (id INTEGER PRIMARY KEY, text VARCHAR(100) NOT NULL); \
                      CREATE TABLE purchase (id INTEGER PRIMARY KEY, text VARCHAR(100) NOT NULL); \
                      CREATE TABLE hit (id INTEGER PRIMARY KEY, text VARCHAR(100) NOT NULL); \
                      CREATE TABLE page (id INTEGER PRIMARY KEY, text VARCHAR(100) NOT NULL)";

async fn postgres() -> (Database, Binds) {
    let database = PostgresA::database().await;
    PostgresA::admin(&database, TABLES).await;
    let binds = Binds::builder()
        // The pool has one connection: a session that needs two would hang.
        .bind(
            Accounts,
            Source::url(database.url()).pool_options(PoolOptions::new().max_size(1)),
        )
        .bind(Orders, Source::shared_with(Accounts))
        .build()
        .unwrap();
    (database, binds)
}

async fn count<B: diesel_binds::Bind>(session: &Session, bind: B, table: &str) -> i64
where
    B::Connection: FromUrl,
    for<'s, 'q> diesel_binds::query::On<'s, B>:
        diesel_binds::query::Load<'q, diesel::query_builder::SqlQuery, Count>,
{
    let query = diesel::sql_query(format!("SELECT count(*) AS count FROM {table}"));
    let row: Count = query.get_result(&session.on(bind).reading()).await.unwrap();
    row.count
}

#[derive(QueryableByName)]
pub(crate) struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    count: i64,
}

#[tokio::test]
async fn two_binds_on_one_database_are_one_transaction() {
    let (_database, binds) = postgres().await;
    let mut session = binds.session();
    let both = async |session: &Session, id: i32| {
        diesel::insert_into(account::table)
            .values((account::id.eq(id), account::text.eq("a")))
            .execute(session)
            .await?;
        diesel::insert_into(purchase::table)
            .values((purchase::id.eq(id), purchase::text.eq("b")))
            .execute(session)
            .await
    };
    both(&session, 1).await.unwrap();
    // Each bind sees the writes of the other, so it is one transaction.
    assert_eq!(count(&session, Accounts, "purchase").await, 1);
    let committed = session.commit_all().await.unwrap();
    assert_eq!(committed.gid(), None, "one database commits in one phase");
    assert_eq!(committed.binds(), ["accounts"]);

    both(&session, 2).await.unwrap();
    session.rollback_all().await.unwrap();
    assert_eq!(count(&session, Orders, "account").await, 1);
    assert_eq!(count(&session, Orders, "purchase").await, 1);
}

/// On two connections, the second would wait forever for the lock of the first.
#[tokio::test]
async fn two_binds_on_one_database_do_not_wait_for_their_own_locks() {
    let (_database, binds) = postgres().await;
    let mut session = binds.session();
    diesel::insert_into(account::table)
        .values((account::id.eq(1), account::text.eq("old")))
        .execute(&session)
        .await
        .unwrap();
    let changed = diesel::sql_query("UPDATE account SET text = 'new'")
        .execute(&session.on(Orders))
        .await
        .unwrap();
    assert_eq!(changed, 1);
    session.commit_only(Orders).await.unwrap();
    let texts: Vec<String> = account::table
        .select(account::text)
        .load(&session)
        .await
        .unwrap();
    assert_eq!(texts, ["new"]);
}

#[tokio::test]
async fn a_raw_connection_of_one_keeps_the_other_out() {
    let (_database, binds) = postgres().await;
    let session = binds.session();
    let held = session.connection(Accounts).await.unwrap();
    let result = purchase::table
        .select(purchase::id)
        .load::<i32>(&session)
        .await;
    assert!(matches!(result, Err(Error::BindBusy { .. })));
    drop(held);
    let result = purchase::table
        .select(purchase::id)
        .load::<i32>(&session)
        .await;
    assert_eq!(result.unwrap(), Vec::<i32>::new());
}

#[tokio::test]
async fn two_binds_on_one_file_are_one_transaction() {
    let database = Sqlite::database().await;
    Sqlite::admin(&database, TABLES).await;
    let binds = Binds::builder()
        .bind(Cache, Source::url(database.url()))
        .bind(Archive, Source::shared_with(Cache))
        .build()
        .unwrap();
    let mut session = binds.session();
    diesel::insert_into(hit::table)
        .values((hit::id.eq(1), hit::text.eq("a")))
        .execute(&session)
        .await
        .unwrap();
    // On two connections, this statement would wait for the first one's lock and fail.
    diesel::insert_into(page::table)
        .values((page::id.eq(1), page::text.eq("b")))
        .execute(&session)
        .await
        .unwrap();
    let committed = session.commit_all().await.unwrap();
    assert_eq!(committed.gid(), None);
    assert_eq!(count(&session, Archive, "hit").await, 1);
}
