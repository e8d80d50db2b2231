//! Queries within queries, all of one bind, in each place where Diesel accepts one.

use diesel::dsl::{count_star, exists, not};
use diesel::prelude::*;
use diesel_binds::{Error, RunQueryDsl};

use super::schema::{User, archive, comments, posts, users};
use super::world;

diesel::define_sql_function! {
    /// A function of the application, within which subqueries are found.
    fn upper(text: diesel::sql_types::Nullable<diesel::sql_types::Text>)
        -> diesel::sql_types::Nullable<diesel::sql_types::Text>;
}

#[tokio::test]
async fn conditions_may_hold_subqueries() {
    let world = world().await;
    let session = world.session();
    let commented = posts::table
        .filter(posts::id.eq_any(comments::table.select(comments::post_id)))
        .select(posts::user_id);
    let authors = users::table
        .filter(users::id.eq_any(commented))
        .filter(exists(posts::table.filter(posts::user_id.eq(users::id))))
        .select(users::name)
        .order(users::id);
    assert_eq!(
        authors.load::<String>(&session).await.unwrap(),
        ["ann", "bob"]
    );
    let silent = users::table
        .filter(not(exists(
            posts::table.filter(posts::user_id.eq(users::id)),
        )))
        .select(users::name)
        .order(users::id)
        .into_boxed();
    assert_eq!(
        silent.load::<String>(&session).await.unwrap(),
        ["cid", "dan"]
    );
}

#[tokio::test]
async fn selections_orders_and_groups_may_hold_subqueries() {
    let world = world().await;
    let session = world.session();
    let last = posts::table
        .filter(posts::user_id.eq(users::id))
        .order(posts::id.desc())
        .select(posts::title)
        .limit(1)
        .single_value();
    let titles = users::table
        .select((users::name, upper(last)))
        .order((last.desc(), users::id))
        .filter(last.is_not_null());
    let rows: Vec<(String, Option<String>)> = titles.load(&session).await.unwrap();
    let expected = [("bob", "B1"), ("ann", "A2")];
    assert_eq!(
        rows,
        expected.map(|(name, title)| (name.to_owned(), Some(title.to_owned())))
    );
    let first = comments::table.select(comments::post_id).limit(1);
    let grouped = posts::table
        .group_by(posts::user_id)
        .select((posts::user_id, count_star()))
        .having(posts::user_id.nullable().eq(first.single_value()));
    let rows: Vec<(i32, i64)> = grouped.load(&session).await.unwrap();
    assert_eq!(rows, [(1, 2)]);
}

#[tokio::test]
async fn conditions_of_a_join_may_hold_subqueries() {
    let world = world().await;
    let session = world.session();
    let others = diesel::alias!(users as others);
    let authors = posts::table.select(posts::user_id);
    let bosses = users::table
        .inner_join(
            others.on(others
                .field(users::boss_id)
                .eq(users::id.nullable())
                .and(others.field(users::id).eq_any(authors))),
        )
        .select((users::name, others.field(users::name)));
    let rows: Vec<(String, String)> = bosses.load(&session).await.unwrap();
    assert_eq!(rows, [("ann".to_owned(), "bob".to_owned())]);
}

#[tokio::test]
async fn inserts_may_hold_subqueries() {
    let world = world().await;
    let session = world.session();
    let name = posts::table
        .filter(posts::id.eq(1))
        .select(posts::title)
        .single_value();
    let valued = diesel::insert_into(archive::table)
        .values((archive::id.eq(7), archive::name.eq(name.assume_not_null())))
        .execute(&session)
        .await;
    assert_eq!(valued.unwrap(), 1);
    let commented = comments::table.select(comments::post_id);
    let rows = posts::table
        .filter(posts::id.eq_any(commented))
        .select((posts::id, posts::title));
    let selected = diesel::insert_into(archive::table)
        .values(rows)
        .into_columns((archive::id, archive::name));
    assert_eq!(selected.execute(&session).await.unwrap(), 2);
    let boxed = users::table
        .filter(users::id.eq(4))
        .select((users::id, users::name))
        .into_boxed();
    let selected = diesel::insert_into(archive::table)
        .values(boxed)
        .into_columns((archive::id, archive::name));
    assert_eq!(selected.execute(&session).await.unwrap(), 1);
    let names = archive::table.select(archive::name).order(archive::id);
    assert_eq!(
        names.load::<String>(&session).await.unwrap(),
        ["a1", "b1", "dan", "a1"]
    );
}

#[tokio::test]
async fn updates_and_deletes_may_hold_subqueries() {
    let world = world().await;
    let session = world.session();
    let authors = posts::table.select(posts::user_id);
    let title = posts::table
        .filter(posts::user_id.eq(users::id))
        .select(posts::title)
        .order(posts::id)
        .limit(1)
        .single_value();
    let renamed = diesel::update(users::table.filter(users::id.eq_any(authors)))
        .set(users::name.eq(title.assume_not_null()));
    assert_eq!(renamed.execute(&session).await.unwrap(), 2);
    let boxed = diesel::update(users::table)
        .set(users::boss_id.eq(None::<i32>))
        .into_boxed()
        .filter(users::id.eq_any(authors));
    assert_eq!(boxed.execute(&session).await.unwrap(), 2);
    let commented = comments::table.filter(comments::post_id.eq(posts::id));
    let deleted = diesel::delete(posts::table.filter(exists(commented)));
    assert_eq!(deleted.execute(&session).await.unwrap(), 2);
    let names = users::table.select(users::name).order(users::id);
    assert_eq!(
        names.load::<String>(&session).await.unwrap(),
        ["a1", "b1", "cid", "dan"]
    );
}

/// In a boxed subquery, Diesel accepts any table.
#[tokio::test]
async fn a_boxed_subquery_needs_its_bind_named() {
    let world = world().await;
    let session = world.session();
    let authors = || posts::table.select(posts::user_id).into_boxed();
    let is_refused =
        |error: Option<Error>| matches!(error, Some(Error::UnknownSource { bind: "main" }));

    let written = || users::table.filter(users::id.eq_any(authors()));
    let refused = written().load::<User>(&session).await;
    assert!(is_refused(refused.err()));
    let refused = written().first::<User>(&session).await;
    assert!(is_refused(refused.err()));
    let refused = written().load_stream::<User>(&session).await;
    assert!(is_refused(refused.err()));
    let refused = users::table
        .filter(exists(authors()))
        .count()
        .get_result::<i64>(&session)
        .await;
    assert!(is_refused(refused.err()));
    let refused = diesel::delete(written()).execute(&session).await;
    assert!(is_refused(refused.err()));
    let refused = diesel::update(written())
        .set(users::name.eq("gone"))
        .execute(&session)
        .await;
    assert!(is_refused(refused.err()));
    let first = || authors().limit(1).single_value();
    let refused = users::table
        .select(first())
        .load::<Option<i32>>(&session)
        .await;
    assert!(is_refused(refused.err()));
    let refused = users::table
        .order(first())
        .select(users::id)
        .load::<i32>(&session)
        .await;
    assert!(is_refused(refused.err()));

    // Nothing was sent, so nothing is lost. The query runs on a bind that it names.
    let found: Vec<User> = written().load(&session.on(super::Main)).await.unwrap();
    assert_eq!(found.len(), 2);
    // A query that is boxed as a whole finds its bind.
    let boxed = users::table.into_boxed().filter(users::id.gt(0));
    assert!(!boxed.load::<User>(&session).await.unwrap().is_empty());
}
