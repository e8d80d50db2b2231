//! MariaDB: the common queries, and those that only MariaDB has.

use diesel::prelude::*;
use diesel_async::AsyncMysqlConnection;
use diesel_binds::{Bind, Error, RunQueryDsl};
use kit::database::Database;
use kit::servers::Server;

use crate::binding::tables::{Tables, Words};

use self::schema::{NewUser, User, user, users};

#[path = "access.rs"]
mod access;
#[path = "explicit.rs"]
mod explicit;
#[path = "reads.rs"]
mod reads;
#[path = "rows.rs"]
mod rows;
#[path = "schema.rs"]
mod schema;
#[path = "subqueries.rs"]
mod subqueries;
#[path = "writes.rs"]
mod writes;

#[derive(Bind, Default)]
#[bind(key = "main", connection = AsyncMysqlConnection)]
pub struct Main;

#[derive(Bind, Default)]
#[bind(key = "other", connection = AsyncMysqlConnection)]
pub struct Other;

const WORDS: Words = Words {
    id: "INTEGER AUTO_INCREMENT PRIMARY KEY",
    text: "VARCHAR(200)",
};

async fn world() -> Tables {
    Tables::of::<Main>(Database::on(Server::MariadbA).await, &WORDS).await
}

async fn both() -> Tables {
    let (main, other) = (
        Database::on(Server::MariadbA).await,
        Database::on(Server::MariadbB).await,
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
        all.for_update().skip_locked(),
        all.for_update().no_wait()
    );
    let plain: Vec<i32> = all.load(&read_only).await.unwrap();
    assert_eq!(plain.len(), 4);
}

#[tokio::test]
async fn a_duplicate_key_is_routed() {
    let world = world().await;
    let session = world.session();
    let upserted = diesel::insert_into(users::table)
        .values(NewUser { name: "ann" })
        .on_conflict(diesel::dsl::DuplicatedKeys)
        .do_update()
        .set(users::boss_id.eq(3))
        .execute(&session)
        .await;
    assert_eq!(
        upserted.unwrap(),
        2,
        "the server counts an updated row twice"
    );
    let ann: User = users::table.find(1).first(&session).await.unwrap();
    assert_eq!(ann, user(1, "ann", 3));
}

#[tokio::test]
async fn replacing_and_ignoring_inserts_are_routed() {
    let world = world().await;
    let session = world.session();
    let ignored = diesel::insert_or_ignore_into(users::table)
        .values(NewUser { name: "ann" })
        .execute(&session)
        .await;
    assert_eq!(ignored.unwrap(), 0);
    let replaced = diesel::replace_into(users::table)
        .values(&user(1, "amy", None))
        .execute(&session)
        .await;
    assert_eq!(replaced.unwrap(), 2);
    let amy: User = users::table.find(1).first(&session).await.unwrap();
    assert_eq!(amy, user(1, "amy", None));
}
