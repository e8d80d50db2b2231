//! The cost of a session in time, against diesel-async by hand, on the same pools, in one run.
//!
//! Both sides of a comparison are measured in turns, so that other load of the machine hits both. Needs the servers of
//! the tests: `cargo xtask servers start`, then `cargo bench --all-features --bench units`.

#![allow(unreachable_pub, reason = "a program exports nothing")]

#[path = "units/pairs.rs"]
mod pairs;

use diesel::prelude::*;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use diesel_async::{
    AsyncConnection, AsyncPgConnection, SimpleAsyncConnection as _, TransactionManager as _,
};
use diesel_binds::{AsyncSqliteConnection, Binds, RecoveryOptions, Session};
use kit::side::{PostgresA, PostgresB, Side, Sqlite, postgres_a, postgres_b, sqlite};

use crate::pairs::{Table, compare};

/// Mounts the statements of one bind, by hand and on a session.
macro_rules! statements {
    ($module:ident, $side:ident, $connection:ty, $notes:path) => {
        #[allow(dead_code, reason = "not every bind is in every comparison")]
        mod $module {
            use super::*;
            use $notes as notes;

            pub async fn pool(url: &str) -> Pool<$connection> {
                let pool = Pool::builder(AsyncDieselConnectionManager::<$connection>::new(url))
                    .max_size(4)
                    .build()
                    .expect("a pool without timeouts needs nothing");
                let mut connection = pool.get().await.expect("the database can be reached");
                diesel_async::RunQueryDsl::execute(
                    diesel::insert_into(notes::table)
                        .values((notes::id.eq(1), notes::text.eq("old"))),
                    &mut connection,
                )
                .await
                .expect("the table is empty");
                pool
            }

            pub async fn get(pool: &Pool<$connection>) -> Object<$connection> {
                pool.get().await.expect("the pool has connections")
            }

            pub async fn begin(connection: &mut $connection) {
                <$connection as AsyncConnection>::TransactionManager::begin_transaction(connection)
                    .await
                    .expect("no transaction is open");
            }

            pub async fn commit(connection: &mut $connection) {
                <$connection as AsyncConnection>::TransactionManager::commit_transaction(
                    connection,
                )
                .await
                .expect("nothing failed");
            }

            pub async fn read_by_hand(connection: &mut $connection) {
                let query = notes::table.find(1);
                let (_, _): (i32, String) = diesel_async::RunQueryDsl::first(query, connection)
                    .await
                    .expect("the row is there");
            }

            pub async fn read(session: &Session) {
                let query = notes::table.find(1);
                let (_, _): (i32, String) = diesel_binds::RunQueryDsl::first(query, session)
                    .await
                    .expect("the row is there");
            }

            pub async fn write_by_hand(connection: &mut $connection) {
                let query = diesel::update(notes::table.find(1)).set(notes::text.eq("new"));
                diesel_async::RunQueryDsl::execute(query, connection)
                    .await
                    .expect("the row is there");
            }

            pub async fn write(session: &Session) {
                let query = diesel::update(notes::table.find(1)).set(notes::text.eq("new"));
                diesel_binds::RunQueryDsl::execute(query, session)
                    .await
                    .expect("the row is there");
            }

            /// Compares queries and units on one bind.
            pub async fn alone(table: &mut Table, name: &str, pool: &Pool<$connection>) {
                let binds = Binds::builder()
                    .bind($side, pool.clone())
                    .build()
                    .expect("one bind needs no namespace");
                {
                    let mut connection = get(pool).await;
                    begin(&mut connection).await;
                    let mut session = binds.session();
                    table.add(
                        &format!("{name}: a query"),
                        compare(
                            20,
                            async || read_by_hand(&mut connection).await,
                            async || read(&session).await,
                        )
                        .await,
                    );
                    commit(&mut connection).await;
                    session.commit_all().await.expect("nothing failed");
                }
                table.add(
                    &format!("{name}: a unit that reads and writes"),
                    compare(
                        1,
                        async || {
                            let mut connection = get(pool).await;
                            begin(&mut connection).await;
                            read_by_hand(&mut connection).await;
                            write_by_hand(&mut connection).await;
                            commit(&mut connection).await;
                        },
                        async || {
                            let mut session = binds.session();
                            read(&session).await;
                            write(&session).await;
                            session.commit_all().await.expect("nothing failed");
                        },
                    )
                    .await,
                );
            }
        }
    };
}

statements!(
    on_postgres_a,
    PostgresA,
    AsyncPgConnection,
    postgres_a::notes
);
statements!(
    on_postgres_b,
    PostgresB,
    AsyncPgConnection,
    postgres_b::notes
);
statements!(on_sqlite, Sqlite, AsyncSqliteConnection, sqlite::notes);

/// Compares units on two servers with two separate commits, and with two-phase commit by hand.
async fn two_servers(
    table: &mut Table,
    first: &Pool<AsyncPgConnection>,
    second: &Pool<AsyncPgConnection>,
) {
    let binds = Binds::builder()
        .namespace("bench")
        .recovery(RecoveryOptions::new().without_worker())
        .bind(PostgresA, first.clone())
        .bind(PostgresB, second.clone())
        .build()
        .expect("two binds with a namespace");
    let unit = async || {
        let mut session = binds.session();
        on_postgres_a::write(&session).await;
        on_postgres_b::write(&session).await;
        session.commit_all().await.expect("nothing failed");
    };
    let open = async || {
        let mut a = on_postgres_a::get(first).await;
        on_postgres_a::begin(&mut a).await;
        on_postgres_a::write_by_hand(&mut a).await;
        let mut b = on_postgres_b::get(second).await;
        on_postgres_b::begin(&mut b).await;
        on_postgres_b::write_by_hand(&mut b).await;
        (a, b)
    };
    let plain = compare(
        1,
        async || {
            let (mut a, mut b) = open().await;
            tokio::join!(on_postgres_a::commit(&mut a), on_postgres_b::commit(&mut b));
        },
        unit,
    );
    table.add("two PostgreSQL, against two plain commits", plain.await);
    let mut log = on_postgres_a::get(first).await;
    log.batch_execute("CREATE TABLE decisions (id INTEGER PRIMARY KEY)")
        .await
        .expect("the database is fresh");
    let mut count = 0;
    for (name, logs) in [("without a log", false), ("with a log", true)] {
        let by_hand = compare(
            1,
            async || {
                count += 1;
                let mut a = on_postgres_a::get(first).await;
                let mut b = on_postgres_b::get(second).await;
                for connection in [&mut a, &mut b] {
                    let begun = connection.batch_execute("BEGIN").await;
                    begun.expect("no transaction is open");
                }
                on_postgres_a::write_by_hand(&mut a).await;
                on_postgres_b::write_by_hand(&mut b).await;
                both(
                    &mut a,
                    &mut b,
                    &format!("PREPARE TRANSACTION 'bench-{count}'"),
                )
                .await;
                // Without this row, a process could not determine after a crash whether the prepared transactions were
                // to be committed.
                if logs {
                    let insert = format!("INSERT INTO decisions VALUES ({count})");
                    log.batch_execute(&insert).await.expect("the id is new");
                }
                both(&mut a, &mut b, &format!("COMMIT PREPARED 'bench-{count}'")).await;
            },
            unit,
        );
        let name = format!("two PostgreSQL, against two phases {name}");
        table.add(&name, by_hand.await);
    }
}

async fn both(a: &mut AsyncPgConnection, b: &mut AsyncPgConnection, statement: &str) {
    let (a, b) = tokio::join!(a.batch_execute(statement), b.batch_execute(statement));
    a.and(b).expect("nothing failed");
}

/// Compares units on a server and a file with two separate commits.
async fn server_and_file(
    table: &mut Table,
    server: &Pool<AsyncPgConnection>,
    file: &Pool<AsyncSqliteConnection>,
) {
    let binds = Binds::builder()
        .namespace("bench")
        .recovery(RecoveryOptions::new().without_worker())
        .bind(PostgresA, server.clone())
        .bind(Sqlite, file.clone())
        .build()
        .expect("two binds with a namespace");
    let pair = compare(
        1,
        async || {
            let mut a = on_postgres_a::get(server).await;
            on_postgres_a::begin(&mut a).await;
            on_postgres_a::write_by_hand(&mut a).await;
            let mut b = on_sqlite::get(file).await;
            on_sqlite::begin(&mut b).await;
            on_sqlite::write_by_hand(&mut b).await;
            tokio::join!(on_postgres_a::commit(&mut a), on_sqlite::commit(&mut b));
        },
        async || {
            let mut session = binds.session();
            on_postgres_a::write(&session).await;
            on_sqlite::write(&session).await;
            session.commit_all().await.expect("nothing failed");
        },
    );
    table.add(
        "PostgreSQL and SQLite, against two plain commits",
        pair.await,
    );
}

#[tokio::main]
async fn main() {
    let mut table = Table::new("by hand", "session");
    let databases = (
        PostgresA::database().await,
        PostgresB::database().await,
        Sqlite::database().await,
    );
    let first = on_postgres_a::pool(databases.0.url()).await;
    let second = on_postgres_b::pool(databases.1.url()).await;
    let file = on_sqlite::pool(databases.2.url()).await;
    on_postgres_a::alone(&mut table, "PostgreSQL", &first).await;
    on_sqlite::alone(&mut table, "SQLite", &file).await;
    two_servers(&mut table, &first, &second).await;
    server_and_file(&mut table, &first, &file).await;
    table.print();
}
