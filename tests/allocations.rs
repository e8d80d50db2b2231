//! The cost of the library in counted allocations: a routed query takes no more than the same query by hand.
//!
//! The test is a program of its own, because the counter is the allocator of the whole program. It counts the
//! allocations of one thread, so everything runs on one. SQLite's own thread does the same work in both cases.

use diesel::prelude::*;
use diesel_async::{AsyncMysqlConnection, AsyncPgConnection};
use diesel_binds::query::BoundConnection;
use diesel_binds::{AsyncSqliteConnection, BindOptions, Binds, Session};
use kit::side::{MariadbA, PoolKind, PostgresA, Side, Sqlite, mariadb_a, postgres_a, sqlite};
use tokio::runtime::Runtime;

/// Returns the fewest allocations of several runs, because drivers grow their buffers occasionally. The work is boxed,
/// because a debug build of tokio boxes only large futures.
fn allocations(runtime: &Runtime, mut work: impl AsyncFnMut()) -> u64 {
    (0..30)
        .map(|_| allocation_counter::measure(|| runtime.block_on(Box::pin(work()))).count_total)
        .min()
        .expect("there are some runs")
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Mounts the comparison for one connection type.
macro_rules! a_routed_query_allocates_nothing_more {
    ($module:ident, $side:ident, $connection:ty, $notes:path) => {
        mod $module {
            use super::*;
            use $notes as notes;

            async fn load_by_hand(connection: &mut $connection) {
                let found: Vec<(i32, String)> =
                    diesel_async::RunQueryDsl::load(notes::table, connection)
                        .await
                        .unwrap();
                assert_eq!(found.len(), 2);
            }

            async fn load(session: &Session) {
                let found: Vec<(i32, String)> =
                    diesel_binds::RunQueryDsl::load(notes::table, session)
                        .await
                        .unwrap();
                assert_eq!(found.len(), 2);
            }

            async fn load_on_the_bind(session: &Session) {
                let found: Vec<(i32, String)> =
                    diesel_binds::RunQueryDsl::load(notes::table, &session.on($side))
                        .await
                        .unwrap();
                assert_eq!(found.len(), 2);
            }

            async fn first_by_hand(connection: &mut $connection) {
                let found: (i32, String) =
                    diesel_async::RunQueryDsl::first(notes::table, connection)
                        .await
                        .unwrap();
                drop(found);
            }

            async fn first(session: &Session) {
                let found: (i32, String) = diesel_binds::RunQueryDsl::first(notes::table, session)
                    .await
                    .unwrap();
                drop(found);
            }

            async fn execute_by_hand(connection: &mut $connection) {
                diesel_async::RunQueryDsl::execute(
                    diesel::update(notes::table).set(notes::id.eq(notes::id)),
                    connection,
                )
                .await
                .unwrap();
            }

            async fn execute(session: &Session) {
                diesel_binds::RunQueryDsl::execute(
                    diesel::update(notes::table).set(notes::id.eq(notes::id)),
                    session,
                )
                .await
                .unwrap();
            }

            #[test]
            fn a_routed_query_allocates_no_more_than_by_hand() {
                let runtime = runtime();
                let database = runtime.block_on($side::database());
                let builder = runtime.block_on($side::register(
                    Binds::builder(),
                    database.url(),
                    PoolKind::Deadpool,
                    1,
                    BindOptions::new(),
                ));
                let binds = builder.build().unwrap();
                let session = binds.session();
                for text in ["one", "two"] {
                    runtime.block_on($side::write(&session, text)).unwrap();
                }
                // Both run on one connection, in one transaction.
                let by_hand = {
                    let mut lent: BoundConnection<'_, $side> =
                        runtime.block_on(session.connection($side)).unwrap();
                    let connection = lent.raw().unwrap();
                    [
                        allocations(&runtime, async || load_by_hand(connection).await),
                        allocations(&runtime, async || first_by_hand(connection).await),
                        allocations(&runtime, async || execute_by_hand(connection).await),
                    ]
                };
                let routed = [
                    allocations(&runtime, async || load(&session).await),
                    allocations(&runtime, async || first(&session).await),
                    allocations(&runtime, async || execute(&session).await),
                ];
                println!("load, first, execute: by hand {by_hand:?}, routed {routed:?}");
                for (routed, by_hand) in routed.iter().zip(&by_hand) {
                    assert!(routed <= by_hand);
                }
                let on = allocations(&runtime, async || load_on_the_bind(&session).await);
                assert!(on <= by_hand[0]);
                assert!(by_hand.iter().all(|count| *count > 0), "they are counted");
                drop(session);
                runtime.block_on(binds.close());
            }
        }
    };
}

a_routed_query_allocates_nothing_more!(
    on_postgres,
    PostgresA,
    AsyncPgConnection,
    postgres_a::notes
);
a_routed_query_allocates_nothing_more!(
    on_mariadb,
    MariadbA,
    AsyncMysqlConnection,
    mariadb_a::notes
);
a_routed_query_allocates_nothing_more!(on_sqlite, Sqlite, AsyncSqliteConnection, sqlite::notes);
