//! PostgreSQL: the common queries, and those that only PostgreSQL has.

use diesel::dsl::{OnlyDsl as _, TablesampleDsl as _, count};
use diesel::prelude::*;
use diesel_async::AsyncPgConnection;
use diesel_binds::{Bind, Error, RunQueryDsl};
use kit::database::Database;
use kit::servers::Server;

use crate::binding::tables::{Tables, Words};

use self::schema::{NewUser, User, posts, user, users};

#[path = "access.rs"]
mod access;
#[path = "explicit.rs"]
mod explicit;
#[path = "reads.rs"]
mod reads;
#[path = "returning.rs"]
mod returning;
#[path = "rows.rs"]
mod rows;
#[path = "schema.rs"]
mod schema;
#[path = "subqueries.rs"]
mod subqueries;
#[path = "upserts.rs"]
mod upserts;
#[path = "writes.rs"]
mod writes;

#[derive(Bind, Default)]
#[bind(key = "main", connection = AsyncPgConnection)]
pub struct Main;

#[derive(Bind, Default)]
#[bind(key = "other", connection = AsyncPgConnection)]
pub struct Other;

const WORDS: Words = Words {
    id: "SERIAL PRIMARY KEY",
    text: "TEXT",
};

async fn world() -> Tables {
    Tables::of::<Main>(Database::on(Server::PostgresA).await, &WORDS).await
}

async fn both() -> Tables {
    let (main, other) = (
        Database::on(Server::PostgresA).await,
        Database::on(Server::PostgresB).await,
    );
    Tables::of_both::<Main, Other>(main, other, &WORDS).await
}

#[tokio::test]
async fn a_select_that_locks_is_routed_and_counts_as_a_write() {
    let world = world().await;
    let (session, read_only) = (world.session(), world.read_only());
    let all = users::table.select(users::id).order(users::id);
    macro_rules! check {
        ($($query:expr),+ $(,)?) => {$(
            assert_eq!($query.load::<i32>(&session).await.unwrap(), [1, 2, 3, 4]);
            let refused = $query.load::<i32>(&read_only).await;
            assert!(matches!(refused, Err(Error::ReadOnly { bind: "main" })), "{refused:?}");
        )+};
    }
    check!(
        all.for_update(),
        all.for_no_key_update(),
        all.for_share(),
        all.for_key_share(),
        all.for_update().skip_locked(),
        all.for_update().no_wait(),
    );
    let joined = users::table
        .inner_join(posts::table)
        .select(posts::id)
        .for_update();
    assert_eq!(joined.load::<i32>(&session).await.unwrap().len(), 3);
    let plain: Vec<i32> = all.load(&read_only).await.unwrap();
    assert_eq!(plain.len(), 4);
}

#[tokio::test]
async fn parts_of_a_table_are_routed_and_read() {
    let world = world().await;
    let session = world.read_only();
    let only: i64 = users::table
        .only()
        .count()
        .get_result(&session)
        .await
        .unwrap();
    assert_eq!(only, 4);
    let names: Vec<String> = users::table
        .only()
        .select(users::name)
        .filter(users::id.eq(1))
        .load(&session)
        .await
        .unwrap();
    assert_eq!(names, ["ann"]);
    let whole: Vec<i32> = users::table
        .tablesample_bernoulli(100)
        .select(users::id)
        .load(&session)
        .await
        .unwrap();
    assert_eq!(whole.len(), 4);
    let whole: i64 = users::table
        .tablesample_system(100)
        .with_seed(1.0)
        .count()
        .get_result(&session)
        .await
        .unwrap();
    assert_eq!(whole, 4);
}

#[tokio::test]
async fn distinct_on_is_routed() {
    let world = world().await;
    let session = world.session();
    let firsts: Vec<String> = posts::table
        .distinct_on(posts::user_id)
        .order((posts::user_id, posts::id.desc()))
        .select(posts::title)
        .load(&session)
        .await
        .unwrap();
    assert_eq!(firsts, ["a2", "b1"]);
}

#[tokio::test]
async fn a_conflict_on_a_constraint_is_routed() {
    let world = world().await;
    let session = world.session();
    let kept = diesel::insert_into(users::table)
        .values(NewUser { name: "ann" })
        .on_conflict(diesel::upsert::on_constraint("users_name_key"))
        .do_nothing()
        .execute(&session)
        .await;
    assert_eq!(kept.unwrap(), 0);
    let rows = vec![user(1, "ann", 4), user(7, "eve", None)];
    let upserted: Vec<User> = diesel::insert_into(users::table)
        .values(&rows)
        .on_conflict(users::id)
        .do_update()
        .set(users::boss_id.eq(diesel::upsert::excluded(users::boss_id)))
        .get_results(&session)
        .await
        .unwrap();
    assert_eq!(upserted, rows);
}

/// Diesel looks for no tables in these places, or has lost their types. As documented, the query runs on the bind of
/// its own table, and reads the table of that name there.
#[tokio::test]
async fn tables_that_no_type_names_are_held_to_no_bind() {
    let world = both().await;
    let session = world.session();
    let elsewhere = || schema::other::users::table.select(schema::other::users::id);
    let last = || elsewhere().order(schema::other::users::id.desc()).limit(1);
    let window = users::table.select(count(users::id).partition_by(last().single_value()));
    assert_eq!(window.load::<i64>(&session).await.unwrap(), [4; 4]);
    let in_other: i64 = elsewhere().count().get_result(&session).await.unwrap();
    assert_eq!(in_other, 1);
    let added = users::table
        .into_boxed()
        .filter(users::id.eq_any(elsewhere().into_boxed()));
    assert_eq!(added.load::<User>(&session).await.unwrap().len(), 4);
}
