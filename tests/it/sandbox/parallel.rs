//! Two hundred concurrent tests on one database, each with a runtime of its own, leave all its rows unchanged.

use std::sync::{Arc, Barrier};
use std::thread;

use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::{AsyncConnection, AsyncMysqlConnection, AsyncPgConnection, RunQueryDsl};
use diesel_binds::testing::Sandbox;
use diesel_binds::{BindOptions, Binds};
use kit::database::Database;
use kit::side::{MariadbA, PoolKind, PostgresA, Side, Sqlite};

use crate::suite::sandbox::{Outside, within};

const TESTS: usize = 200;

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

#[tokio::test]
async fn two_hundred_on_postgres_leave_it_as_it_was() {
    let outside = Outside::<PostgresA>::on(PoolKind::Bb8, BindOptions::new()).await;
    two_hundred::<PostgresA>(outside, dump_of_postgres).await;
}

#[tokio::test]
async fn two_hundred_on_mariadb_leave_it_as_it_was() {
    two_hundred::<MariadbA>(Outside::new().await, dump_of_mariadb).await;
}

#[tokio::test]
async fn two_hundred_on_sqlite_leave_it_as_it_was() {
    two_hundred::<Sqlite>(Outside::new().await, async |database| {
        vec![format!("{:?}", std::fs::read(database.url()).unwrap())]
    })
    .await;
}

async fn two_hundred<S: Side>(outside: Outside<S>, dump: impl AsyncFn(&Database) -> Vec<String>) {
    let before = dump(&outside.database).await;
    let together = Arc::new(Barrier::new(TESTS));
    let binds = outside.binds.clone();
    let running = tokio::task::spawn_blocking(move || {
        let tests: Vec<_> = (0..TESTS)
            .map(|number| {
                let (binds, together) = (binds.clone(), Arc::clone(&together));
                thread::spawn(move || on_a_runtime_of_its_own::<S>(number, &binds, &together))
            })
            .collect();
        tests
            .into_iter()
            .map(|test| test.join().is_err())
            .collect::<Vec<_>>()
    });
    let panicked = running.await.unwrap();
    for (number, panicked) in panicked.into_iter().enumerate() {
        assert_eq!(panicked, number % 4 == 3, "test {number}");
    }
    assert_eq!(dump(&outside.database).await, before);
    assert_eq!(outside.kept().await, ["there"]);
}

fn on_a_runtime_of_its_own<S: Side>(number: usize, binds: &Binds, together: &Barrier) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let sandbox = Sandbox::of(binds).bind(S::bind()).start().await;
        // Waits also after an error, because the others wait.
        together.wait();
        let sandbox = sandbox.unwrap();
        let mut session = sandbox.binds().session();
        let (first, second) = (format!("first {number}"), format!("second {number}"));
        S::write(&session, &first).await.unwrap();
        session.commit_all().await.unwrap();
        S::write(&session, &second).await.unwrap();
        session.commit_all().await.unwrap();
        S::write(&session, &format!("gone {number}")).await.unwrap();
        drop(session);
        assert_eq!(within::<S>(&sandbox).await, ["there", &*first, &*second]);
        match number % 4 {
            0 | 1 => sandbox.end().await.unwrap(),
            2 => drop(sandbox),
            _ => std::panic::resume_unwind(Box::new("the test fails")),
        }
    });
}

async fn dump_of_postgres(database: &Database) -> Vec<String> {
    let mut connection = AsyncPgConnection::establish(database.url()).await.unwrap();
    let tables = "SELECT format('%I.%I', table_schema, table_name) AS line FROM information_schema.tables \
                  WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1";
    let tables: Vec<Line> = diesel::sql_query(tables)
        .load(&mut connection)
        .await
        .unwrap();
    let mut rows = Vec::new();
    for Line { line: table } in tables {
        let of_table =
            format!("SELECT concat('{table} ', t::text) AS line FROM {table} t ORDER BY 1");
        let lines: Vec<Line> = diesel::sql_query(of_table)
            .load(&mut connection)
            .await
            .unwrap();
        rows.extend(lines.into_iter().map(|Line { line }| line));
    }
    assert!(rows.len() >= 2, "{rows:?}");
    rows
}

async fn dump_of_mariadb(database: &Database) -> Vec<String> {
    let mut connection = AsyncMysqlConnection::establish(database.url())
        .await
        .unwrap();
    let tables = "SELECT CONCAT('SELECT CONCAT_WS(''|'', ''', TABLE_NAME, ''', ', \
                  GROUP_CONCAT('`', COLUMN_NAME, '`' ORDER BY ORDINAL_POSITION), ') AS line FROM `', TABLE_NAME, \
                  '` ORDER BY 1') AS line FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() \
                  GROUP BY TABLE_NAME ORDER BY TABLE_NAME";
    let tables: Vec<Line> = diesel::sql_query(tables)
        .load(&mut connection)
        .await
        .unwrap();
    let mut rows = Vec::new();
    for Line { line: of_table } in tables {
        let lines: Vec<Line> = diesel::sql_query(of_table)
            .load(&mut connection)
            .await
            .unwrap();
        rows.extend(lines.into_iter().map(|Line { line }| line));
    }
    assert!(rows.len() >= 2, "{rows:?}");
    rows
}
