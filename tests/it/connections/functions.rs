//! State that functions and triggers leave on a connection, called by queries that Diesel builds.

use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use diesel_binds::{BindOptions, Binds, RunQueryDsl};
use kit::database::Database;
use kit::side::postgres_a::notes;
use kit::side::{PoolKind, PostgresA, Side};

diesel::define_sql_function! {
    /// Sets a setting of the session, or of the transaction.
    fn set_config(name: Text, value: Text, local: Bool) -> Text;
}

/// A trigger that leaves a lock and a setting behind.
const TRIGGER: &str = "CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     PERFORM set_config('app.left', 'by a trigger', false); PERFORM pg_advisory_lock(99); RETURN NEW; END $$; \
     CREATE TRIGGER leave BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION leave()";

/// Selects the setting, and the number of advisory locks of the session.
const LEFT: &str = "SELECT coalesce(current_setting('app.left', true), '') || ' ' || (SELECT count(*) FROM pg_locks \
     WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS text";

async fn binds(database: &Database, options: BindOptions) -> Binds {
    let (builder, pool) = (Binds::builder(), PoolKind::Deadpool);
    let builder = PostgresA::register(builder, database.url(), pool, 1, options).await;
    builder.build().unwrap()
}

/// Returns the state that the next unit on the connection finds.
async fn left(binds: &Binds) -> String {
    let mut session = binds.session();
    let left = PostgresA::text(&session, LEFT).await.unwrap();
    session.rollback_all().await.unwrap();
    left
}

#[tokio::test]
async fn a_query_that_may_contain_text_leaves_nothing() {
    let database = PostgresA::database().await;
    PostgresA::admin(&database, "INSERT INTO notes (text) VALUES ('one')").await;
    let binds = binds(&database, BindOptions::new()).await;

    let mut session = binds.session();
    let boxed = notes::table
        .select(set_config("app.left", "by a boxed query", false))
        .into_boxed();
    let set: String = boxed.first(&session).await.unwrap();
    assert_eq!(set, "by a boxed query");
    session.commit_all().await.unwrap();
    assert_eq!(left(&binds).await, " 0");

    let session = binds.session();
    let fragment = diesel::dsl::sql::<Text>("set_config('app.left', 'by a fragment', false)");
    let set: String = notes::table.select(fragment).first(&session).await.unwrap();
    assert_eq!(set, "by a fragment");
    drop(session);
    assert_eq!(left(&binds).await, " 0");
    binds.close().await;
}

#[tokio::test]
async fn functions_and_triggers_leave_nothing_where_every_unit_is_cleaned() {
    let database = PostgresA::database().await;
    PostgresA::admin(&database, "INSERT INTO notes (text) VALUES ('one')").await;
    PostgresA::admin(&database, TRIGGER).await;
    for cleans in [true, false] {
        let options = match cleans {
            true => BindOptions::new().clean_every_unit(),
            false => BindOptions::new(),
        };
        let binds = binds(&database, options).await;
        for by in ["a function", "an update", "a trigger"] {
            let mut session = binds.session();
            if by == "a function" {
                let set = set_config("app.left", "by a function", false);
                let _: String = notes::table.select(set).first(&session).await.unwrap();
            } else if by == "an update" {
                let of = notes::table.find(1);
                let set = set_config("app.left", "by an update", false);
                let update = diesel::update(of).set(notes::text.eq(set));
                let changed = update.execute(&session).await.unwrap();
                assert_eq!(changed, 1);
            } else {
                let row = notes::text.eq(format!("two, {cleans}"));
                let insert = diesel::insert_into(notes::table).values(row);
                insert.execute(&session).await.unwrap();
            }
            session.commit_all().await.unwrap();
            let left = left(&binds).await;
            // As documented, the library does not see the functions that a query calls.
            let unseen = match by {
                "a function" => "by a function 0",
                "an update" => "by an update 0",
                _ => "by a trigger 1",
            };
            assert_eq!(left, if cleans { " 0" } else { unseen }, "{by}");
        }
        binds.close().await;
    }
}
