//! Inserts of several rows, on the backends for which diesel-async has them.

use diesel::prelude::*;
use diesel_binds::{Error, RunQueryDsl};

use super::schema::{NewUser, users};
use super::world;

#[tokio::test]
async fn several_rows_are_inserted_at_once() {
    let world = world().await;
    let session = world.session();
    let rows = vec![NewUser { name: "eve" }, NewUser { name: "fay" }];
    let borrowed = diesel::insert_into(users::table)
        .values(&rows)
        .execute(&session)
        .await;
    assert_eq!(borrowed.unwrap(), 2);
    let owned = diesel::insert_into(users::table)
        .values(vec![users::name.eq("gus"), users::name.eq("hal")])
        .execute(&session)
        .await;
    assert_eq!(owned.unwrap(), 2);
    let array = [
        (users::name.eq("ivo"), users::boss_id.eq(1)),
        (users::name.eq("jan"), users::boss_id.eq(2)),
    ];
    let inserted = diesel::insert_into(users::table)
        .values(array)
        .execute(&session)
        .await;
    assert_eq!(inserted.unwrap(), 2);
    let all: i64 = users::table.count().get_result(&session).await.unwrap();
    assert_eq!(all, 10);
}

#[tokio::test]
async fn several_rows_are_a_write() {
    let world = world().await;
    let session = world.read_only();
    let rows = vec![NewUser { name: "eve" }, NewUser { name: "fay" }];
    let refused = diesel::insert_into(users::table)
        .values(&rows)
        .execute(&session)
        .await;
    assert!(matches!(refused, Err(Error::ReadOnly { bind: "main" })));
}
