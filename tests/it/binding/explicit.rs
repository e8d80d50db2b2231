//! Queries whose type does not determine their bind, so the query names it.

use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer};
use diesel_binds::{Error, RunQueryDsl};
use futures_util::TryStreamExt as _;

use super::schema::{User, other, posts, user, users};
use super::{Main, Other, both, world};

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

const COUNT: &str = "SELECT count(*) AS count FROM users";

#[tokio::test]
async fn sql_runs_on_the_bind_that_is_named() {
    let world = both().await;
    let session = world.session();
    let main = session.on(Main).reading();
    let counted: Count = diesel::sql_query(COUNT).get_result(&main).await.unwrap();
    assert_eq!(counted.count, 4);
    let counted: Count = diesel::sql_query(COUNT)
        .get_result(&session.on(Other))
        .await
        .unwrap();
    assert_eq!(counted.count, 1);

    let deleted = diesel::sql_query("DELETE FROM users WHERE name = 'zoe'");
    assert_eq!(deleted.execute(&session.on(Other)).await.unwrap(), 1);
    let rows: Vec<User> = diesel::sql_query("SELECT * FROM users WHERE id = 1")
        .load(&main)
        .await
        .unwrap();
    assert_eq!(rows, [user(1, "ann", None)]);
    let boxed = diesel::sql_query("SELECT id, name, boss_id FROM users WHERE id = 1").into_boxed();
    let mut stream = Box::pin(boxed.load_stream::<User>(&main).await.unwrap());
    assert_eq!(stream.try_next().await.unwrap(), Some(user(1, "ann", None)));
}

#[tokio::test]
async fn a_select_without_a_table_runs_on_the_bind_that_is_named() {
    let world = both().await;
    let session = world.session();
    let zoe = diesel::select(exists(
        other::users::table.filter(other::users::name.eq("zoe")),
    ));
    assert!(
        zoe.get_result::<bool>(&session.on(Other).reading())
            .await
            .unwrap()
    );
    let ann = diesel::select(exists(users::table.filter(users::name.eq("ann"))));
    assert!(ann.first::<bool>(&session.on(Main)).await.unwrap());
    let seven = diesel::select(diesel::dsl::sql::<Integer>("7"));
    assert_eq!(seven.get_result::<i32>(&session.on(Main)).await.unwrap(), 7);
}

#[tokio::test]
async fn a_set_operation_runs_on_the_bind_that_is_named() {
    let world = world().await;
    let session = world.session();
    let union = users::table
        .filter(users::id.eq(1))
        .select(users::name)
        .union_all(posts::table.select(posts::title).filter(posts::id.eq(1)));
    let mut both: Vec<String> = union.load(&session.on(Main)).await.unwrap();
    both.sort();
    assert_eq!(both, ["a1", "ann"]);
}

#[tokio::test]
async fn a_routed_query_may_name_its_bind_as_well() {
    let world = world().await;
    let session = world.session();
    let count: i64 = users::table
        .count()
        .get_result(&session.on(Main))
        .await
        .unwrap();
    assert_eq!(count, 4);
}

#[tokio::test]
async fn a_named_query_counts_as_written_unless_it_says_that_it_reads() {
    let world = world().await;
    let session = world.read_only();
    let refused = diesel::sql_query(COUNT)
        .get_result::<Count>(&session.on(Main))
        .await;
    assert!(matches!(refused, Err(Error::ReadOnly { bind: "main" })));
    let main = session.on(Main).reading();
    let read: Count = diesel::sql_query(COUNT).get_result(&main).await.unwrap();
    assert_eq!(read.count, 4);
    let exists = diesel::select(exists(users::table.find(1)));
    assert!(exists.get_result::<bool>(&main).await.unwrap());
}

#[tokio::test]
async fn a_lent_connection_takes_queries_of_any_kind() {
    let world = world().await;
    let session = world.session();
    let main = session.connection(Main).await.unwrap();
    let routed: i64 = users::table.count().get_result(&main).await.unwrap();
    let named: Count = diesel::sql_query(COUNT).get_result(&main).await.unwrap();
    assert_eq!((routed, named.count), (4, 4));
    let busy: Result<i64, Error> = users::table.count().get_result(&session).await;
    assert!(matches!(busy, Err(Error::BindBusy { bind: "main" })));
    drop(main);
    let free: i64 = users::table.count().get_result(&session).await.unwrap();
    assert_eq!(free, 4);
}
