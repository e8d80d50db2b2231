//! Queries that read.

use diesel::dsl::{exists, max, not};
use diesel::prelude::*;
use diesel_binds::{Error, OptionalExt as _, RunQueryDsl};
use futures_util::TryStreamExt as _;

use super::schema::{Post, User, archive, comments, other, posts, user, users};
use super::{both, world};

#[tokio::test]
async fn a_table_is_read_from_its_own_database() {
    let world = both().await;
    let session = world.session();
    let (main, other) = tokio::join!(
        users::table
            .select(users::name)
            .order(users::id)
            .load::<String>(&session),
        other::users::table
            .select(other::users::name)
            .load::<String>(&session),
    );
    assert_eq!(main.unwrap(), ["ann", "bob", "cid", "dan"]);
    assert_eq!(other.unwrap(), ["zoe"]);
}

#[tokio::test]
async fn a_bare_table_a_key_and_a_count_are_routed() {
    let world = world().await;
    let session = world.session();
    assert_eq!(users::table.load::<User>(&session).await.unwrap().len(), 4);
    let found: User = users::table.find(2).first(&session).await.unwrap();
    assert_eq!(found, user(2, "bob", 1));
    let count: i64 = users::table.count().get_result(&session).await.unwrap();
    assert_eq!(count, 4);
    let last = users::table.select(max(users::id));
    let last: Option<i32> = last.get_result(&session).await.unwrap();
    assert_eq!(last, Some(4));
}

#[tokio::test]
async fn filters_orders_limits_and_distinct_are_routed() {
    let world = world().await;
    let session = world.session();
    let page = users::table
        .filter(
            users::id
                .gt(1)
                .and(users::name.ne("dan"))
                .or(users::name.like("a%")),
        )
        .order((users::boss_id.asc(), users::id.desc()))
        .select(User::as_select());
    let rows: Vec<User> = page
        .filter(users::id.gt(1))
        .limit(1)
        .offset(1)
        .load(&session)
        .await
        .unwrap();
    assert_eq!(rows, [user(2, "bob", 1)]);
    let bosses: Vec<Option<i32>> = users::table
        .select(users::boss_id)
        .distinct()
        .filter(users::boss_id.is_not_null())
        .order(users::boss_id)
        .get_results(&session)
        .await
        .unwrap();
    assert_eq!(bosses, [Some(1), Some(2)]);
}

#[tokio::test]
async fn a_boxed_query_is_routed() {
    let world = world().await;
    let session = world.session();
    let mut query = users::table.into_boxed();
    for name in ["bob", "cid"] {
        query = query.or_filter(users::name.eq(name));
    }
    let rows: Vec<User> = query.order(users::id).load(&session).await.unwrap();
    assert_eq!(rows, [user(2, "bob", 1), user(3, "cid", 1)]);

    let joined = users::table
        .inner_join(posts::table)
        .select(posts::title)
        .into_boxed();
    let titles: Vec<String> = joined
        .order(posts::id)
        .limit(2)
        .load(&session)
        .await
        .unwrap();
    assert_eq!(titles, ["a1", "a2"]);

    let grouped = posts::table
        .group_by(posts::user_id)
        .select(posts::user_id)
        .into_boxed();
    let authors: Vec<i32> = grouped.order(posts::user_id).load(&session).await.unwrap();
    assert_eq!(authors, [1, 2]);
}

#[tokio::test]
async fn joins_of_any_depth_are_routed() {
    let world = world().await;
    let session = world.session();
    let two: Vec<(User, Post)> = users::table
        .inner_join(posts::table)
        .order(posts::id)
        .load(&session)
        .await
        .unwrap();
    assert_eq!(two.len(), 3);
    let nested: Vec<(String, String)> = users::table
        .inner_join(posts::table.inner_join(comments::table))
        .select((users::name, comments::body))
        .order(comments::id)
        .load(&session)
        .await
        .unwrap();
    let found: Vec<_> = nested
        .iter()
        .map(|(name, body)| (&**name, &**body))
        .collect();
    assert_eq!(found, [("ann", "c1"), ("ann", "c2"), ("bob", "c3")]);
    let four: i64 = comments::table
        .inner_join(posts::table.inner_join(users::table))
        .inner_join(archive::table.on(archive::id.ne(comments::id)))
        .count()
        .get_result(&session)
        .await
        .unwrap();
    assert_eq!(four, 0);
}

#[tokio::test]
async fn left_joins_are_routed() {
    let world = world().await;
    let session = world.session();
    let all: Vec<(String, Option<Post>)> = users::table
        .left_join(posts::table)
        .filter(posts::id.is_null())
        .select((users::name, Option::<Post>::as_select()))
        .order(users::id)
        .load(&session)
        .await
        .unwrap();
    assert_eq!(all, [("cid".into(), None), ("dan".into(), None)]);
    let deep: i64 = users::table
        .left_join(posts::table.left_join(comments::table))
        .count()
        .get_result(&session)
        .await
        .unwrap();
    assert_eq!(deep, 6);
}

#[tokio::test]
async fn aliases_and_self_joins_are_routed() {
    let world = world().await;
    let session = world.session();
    let bosses = diesel::alias!(users as bosses);
    let alone: Vec<String> = bosses
        .filter(bosses.field(users::id).eq(4))
        .select(bosses.field(users::name))
        .load(&session)
        .await
        .unwrap();
    assert_eq!(alone, ["dan"]);
    let pairs: Vec<(String, String)> = users::table
        .inner_join(bosses.on(users::boss_id.eq(bosses.field(users::id).nullable())))
        .select((users::name, bosses.field(users::name)))
        .order(users::id)
        .load(&session)
        .await
        .unwrap();
    let found: Vec<_> = pairs
        .iter()
        .map(|(name, boss)| (&**name, &**boss))
        .collect();
    assert_eq!(found, [("bob", "ann"), ("cid", "ann"), ("dan", "bob")]);
    let all: i64 = bosses.count().get_result(&session).await.unwrap();
    assert_eq!(all, 4);
}

#[tokio::test]
async fn groups_and_having_are_routed() {
    let world = world().await;
    let session = world.session();
    let counts: Vec<(String, i64)> = users::table
        .inner_join(posts::table)
        .group_by(users::name)
        .having(diesel::dsl::count(posts::id).gt(1))
        .select((users::name, diesel::dsl::count(posts::id)))
        .load(&session)
        .await
        .unwrap();
    assert_eq!(counts, [("ann".to_owned(), 2)]);
}

#[tokio::test]
async fn subqueries_are_routed_with_their_query() {
    let world = world().await;
    let session = world.session();
    let written = posts::table.filter(posts::user_id.eq(users::id));
    let silent: Vec<String> = users::table
        .filter(not(exists(written)))
        .select(users::name)
        .order(users::id)
        .load(&session)
        .await
        .unwrap();
    assert_eq!(silent, ["cid", "dan"]);
    let authors = posts::table.select(posts::user_id);
    let count: i64 = users::table
        .filter(users::id.eq_any(authors))
        .count()
        .get_result(&session)
        .await
        .unwrap();
    assert_eq!(count, 2);
    let scalar: Vec<(i32, Option<i32>)> = users::table
        .select((
            users::id,
            posts::table.select(max(posts::id)).single_value(),
        ))
        .filter(users::id.eq(1))
        .load(&session)
        .await
        .unwrap();
    assert_eq!(scalar, [(1, Some(3))]);
}

#[tokio::test]
async fn children_of_models_are_routed() {
    let world = world().await;
    let session = world.session();
    let all: Vec<User> = users::table.order(users::id).load(&session).await.unwrap();
    let of_one: Vec<Post> = Post::belonging_to(&all[0])
        .order(posts::id)
        .load(&session)
        .await
        .unwrap();
    assert_eq!(of_one.len(), 2);
    let of_many: Vec<Post> = Post::belonging_to(&all)
        .select(Post::as_select())
        .load(&session)
        .await
        .unwrap();
    let grouped: Vec<usize> = of_many.grouped_by(&all).iter().map(Vec::len).collect();
    assert_eq!(grouped, [2, 1, 0, 0]);
    let joined: i64 = Post::belonging_to(&all)
        .inner_join(comments::table)
        .count()
        .get_result(&session)
        .await
        .unwrap();
    assert_eq!(joined, 3);
}

#[tokio::test]
async fn a_row_that_is_not_there_is_optional() {
    let world = both().await;
    let session = world.session();
    let nobody = users::table.find(99).select(users::name);
    assert_eq!(
        nobody.first::<String>(&session).await.optional().unwrap(),
        None
    );
    assert_eq!(
        nobody
            .get_result::<String>(&session)
            .await
            .optional()
            .unwrap(),
        None
    );
    let missing = nobody.first::<String>(&session).await.unwrap_err();
    assert_eq!(missing.bind(), Some("main"));
    assert_eq!(missing.diesel(), Some(&diesel::result::Error::NotFound));
    let somebody = users::table.find(1).select(users::name);
    assert_eq!(
        somebody.first(&session).await.optional().unwrap(),
        Some("ann".to_owned())
    );
    let failed: Result<User, Error> = diesel::sql_query("SELECT * FROM nowhere")
        .get_result(&session.on(super::Other))
        .await;
    assert!(failed.optional().is_err(), "only a missing row is nothing");
}

#[tokio::test]
async fn first_reads_one_row_of_many() {
    let world = world().await;
    let session = world.session();
    let name: String = users::table
        .select(users::name)
        .order(users::id.desc())
        .first(&session)
        .await
        .unwrap();
    assert_eq!(name, "dan");
}

#[tokio::test]
async fn a_stream_takes_its_bind_and_no_other() {
    let world = both().await;
    let session = world.session();
    let names = users::table.select(users::name).order(users::id);
    let mut rows = Box::pin(names.load_stream::<String>(&session).await.unwrap());
    assert_eq!(rows.try_next().await.unwrap(), Some("ann".into()));
    let same: Result<i64, Error> = users::table.count().get_result(&session).await;
    assert!(matches!(same, Err(Error::BindBusy { bind: "main" })));
    let other: i64 = other::users::table
        .count()
        .get_result(&session)
        .await
        .unwrap();
    assert_eq!(other, 1);
    let rest: Vec<String> = rows.try_collect().await.unwrap();
    assert_eq!(rest, ["bob", "cid", "dan"]);
    let freed: i64 = users::table.count().get_result(&session).await.unwrap();
    assert_eq!(freed, 4);
}
