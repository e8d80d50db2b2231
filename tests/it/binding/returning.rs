//! Writes that return rows, and conflicts, on the backends that have them.

use diesel::prelude::*;
use diesel_binds::{Error, RunQueryDsl};
use futures_util::TryStreamExt as _;

use super::schema::{NewUser, User, user, users};
use super::world;

#[tokio::test]
async fn an_insert_returns_its_row() {
    let world = world().await;
    let session = world.session();
    let eve: User = diesel::insert_into(users::table)
        .values(NewUser { name: "eve" })
        .get_result(&session)
        .await
        .unwrap();
    assert_eq!(eve, user(5, "eve", None));
    let id: i32 = diesel::insert_into(users::table)
        .values(NewUser { name: "fay" })
        .returning(users::id)
        .get_result(&session)
        .await
        .unwrap();
    assert_eq!(id, 6);
}

#[tokio::test]
async fn updates_and_deletes_return_their_rows() {
    let world = world().await;
    let session = world.session();
    let changed: Vec<User> = diesel::update(users::table.filter(users::boss_id.eq(2)))
        .set(users::boss_id.eq(1))
        .returning(User::as_returning())
        .get_results(&session)
        .await
        .unwrap();
    assert_eq!(changed, [user(4, "dan", 1)]);
    let gone = diesel::delete(users::table.find(4)).returning(users::name);
    let rows = gone.load_stream::<String>(&session).await.unwrap();
    assert_eq!(rows.try_collect::<Vec<_>>().await.unwrap(), ["dan"]);
}

#[tokio::test]
async fn a_write_that_returns_rows_is_still_a_write() {
    let world = world().await;
    let session = world.read_only();
    let insert = diesel::insert_into(users::table)
        .values(NewUser { name: "eve" })
        .returning(users::id)
        .get_result::<i32>(&session)
        .await;
    let update = diesel::update(users::table.find(1))
        .set(users::name.eq("x"))
        .returning(users::id)
        .get_result::<i32>(&session)
        .await;
    let delete = diesel::delete(users::table.find(1)).returning(users::id);
    for refused in [insert, update, delete.get_result::<i32>(&session).await] {
        assert!(
            matches!(refused, Err(Error::ReadOnly { bind: "main" })),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_conflict_is_routed() {
    let world = world().await;
    let session = world.session();
    let ann = diesel::insert_into(users::table).values(NewUser { name: "ann" });
    assert_eq!(
        ann.on_conflict_do_nothing()
            .execute(&session)
            .await
            .unwrap(),
        0
    );
    let updated = ann
        .on_conflict(users::name)
        .do_update()
        .set(users::boss_id.eq(3))
        .execute(&session)
        .await;
    assert_eq!(updated.unwrap(), 1);
    let ann: User = users::table.find(1).first(&session).await.unwrap();
    assert_eq!(ann, user(1, "ann", 3));
}
