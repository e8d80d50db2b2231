//! The type of a query determines its effect on the database, before it runs.

use diesel::prelude::*;
use diesel_binds::{Error, RunQueryDsl, SaveChangesDsl};

use super::schema::{NewUser, Post, User, archive, posts, user, users};
use super::{Main, world};

#[tokio::test]
async fn every_plain_select_runs_in_a_read_only_unit() {
    let world = world().await;
    let mut session = world.read_only();
    let bosses = diesel::alias!(users as bosses);
    let ann = user(1, "ann", None);
    let counts = [
        users::table
            .count()
            .get_result::<i64>(&session)
            .await
            .unwrap(),
        users::table
            .into_boxed()
            .count()
            .get_result(&session)
            .await
            .unwrap(),
        users::table
            .inner_join(posts::table)
            .count()
            .get_result(&session)
            .await
            .unwrap(),
        users::table
            .left_join(posts::table)
            .count()
            .get_result(&session)
            .await
            .unwrap(),
        bosses.count().get_result(&session).await.unwrap(),
        Post::belonging_to(&ann)
            .count()
            .get_result(&session)
            .await
            .unwrap(),
    ];
    assert_eq!(counts, [4, 4, 3, 5, 4, 2]);
    assert_eq!(users::table.load::<User>(&session).await.unwrap().len(), 4);
    assert_eq!(
        users::table.find(1).first::<User>(&session).await.unwrap(),
        ann
    );
    session.commit_all().await.unwrap();
}

#[tokio::test]
async fn every_write_is_refused_in_a_read_only_unit_before_it_runs() {
    let world = world().await;
    let mut session = world.read_only();
    let bob = user(2, "bob", 1);
    let refused = [
        diesel::insert_into(users::table)
            .values(NewUser { name: "eve" })
            .execute(&session)
            .await,
        users::table
            .select((users::id, users::name))
            .insert_into(archive::table)
            .into_columns((archive::id, archive::name))
            .execute(&session)
            .await,
        diesel::update(&bob)
            .set(users::name.eq("bea"))
            .execute(&session)
            .await,
        diesel::update(users::table)
            .set(users::name.eq("bea"))
            .execute(&session)
            .await,
        diesel::delete(&bob).execute(&session).await,
        diesel::delete(users::table)
            .into_boxed()
            .execute(&session)
            .await,
        diesel::sql_query("DELETE FROM users")
            .execute(&session.on(Main))
            .await,
        bob.save_changes::<User>(&session).await.map(|_| 1),
    ];
    for (position, result) in refused.into_iter().enumerate() {
        assert!(
            matches!(result, Err(Error::ReadOnly { bind: "main" })),
            "{position}: {result:?}"
        );
    }
    let still: i64 = users::table.count().get_result(&session).await.unwrap();
    assert_eq!(still, 4, "a refused query leaves the unit as it was");
    session.commit_all().await.unwrap();
}

/// The type is a first guess, and the server has the last word.
#[tokio::test]
async fn a_write_that_calls_itself_reading_is_refused_by_the_server() {
    let world = world().await;
    let session = world.read_only();
    let result = diesel::sql_query("DELETE FROM users")
        .execute(&session.on(Main).reading())
        .await;
    assert!(
        matches!(result, Err(Error::Query { bind: "main", .. })),
        "{result:?}"
    );
    drop(session);
    let session = world.session();
    let still: i64 = users::table.count().get_result(&session).await.unwrap();
    assert_eq!(still, 4);
}
