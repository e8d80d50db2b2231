//! Inserts that handle conflicts. Their type determines the bind, except if their rows come from a query, which names
//! it.

use diesel::prelude::*;
use diesel::upsert::excluded;
use diesel_binds::{Error, RunQueryDsl};

use super::schema::{NewUser, User, posts, user, users};
use super::world;

#[tokio::test]
async fn upserts_of_values_are_routed() {
    let world = world().await;
    let session = world.session();
    let ignored = diesel::insert_into(users::table)
        .values(NewUser { name: "ann" })
        .on_conflict_do_nothing();
    assert_eq!(ignored.execute(&session).await.unwrap(), 0);
    let updated: User = diesel::insert_into(users::table)
        .values(&user(1, "amy", None))
        .on_conflict(users::id)
        .do_update()
        .set(users::name.eq(excluded(users::name)))
        .get_result(&session)
        .await
        .unwrap();
    assert_eq!(updated, user(1, "amy", None));
    let kept = diesel::insert_into(users::table)
        .values((users::id.eq(1), users::name.eq("bea")))
        .on_conflict(users::id)
        .do_update()
        .set(users::name.eq(excluded(users::name)));
    let kept = diesel::query_dsl::methods::FilterDsl::filter(kept, users::name.ne("amy"));
    assert_eq!(kept.execute(&session).await.unwrap(), 0);
}

#[tokio::test]
async fn an_upsert_of_rows_from_a_query_needs_its_bind_named() {
    let world = world().await;
    let session = world.session();
    let titles = || {
        posts::table
            .filter(posts::id.eq(1))
            .select((posts::id, posts::title))
    };
    let selected = || {
        diesel::insert_into(users::table)
            .values(titles())
            .into_columns((users::id, users::name))
            .on_conflict(users::id)
            .do_update()
            .set(users::name.eq(excluded(users::name)))
    };
    let refused = selected().execute(&session).await;
    assert!(matches!(
        refused,
        Err(Error::UnknownSource { bind: "main" })
    ));
    let boxed = diesel::insert_into(users::table)
        .values(titles().into_boxed())
        .into_columns((users::id, users::name))
        .on_conflict_do_nothing();
    let refused = boxed.execute(&session).await;
    assert!(matches!(
        refused,
        Err(Error::UnknownSource { bind: "main" })
    ));
    let title = posts::table
        .filter(posts::id.eq(1))
        .select(posts::title)
        .single_value()
        .assume_not_null();
    let valued = || {
        diesel::insert_into(users::table)
            .values((users::id.eq(1), users::name.eq(title)))
            .on_conflict(users::id)
            .do_update()
            .set(users::name.eq(excluded(users::name)))
    };
    let refused = valued().get_result::<User>(&session).await;
    assert!(matches!(
        refused,
        Err(Error::UnknownSource { bind: "main" })
    ));
    let named: User = valued().get_result(&session.on(super::Main)).await.unwrap();
    assert_eq!(named, user(1, "a1", None));
    let amy = user(1, "amy", None);
    let set = diesel::insert_into(users::table)
        .values(&amy)
        .on_conflict(users::id)
        .do_update()
        .set(users::name.eq(title));
    assert_eq!(set.execute(&session).await.unwrap(), 1);
}
