//! Options of a unit hold for that unit alone, and settings of its connection are restored.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::{RunQueryDsl as _, SimpleAsyncConnection as _};
use diesel_binds::{BindOptions, Binds, Isolation, SessionOptions, Source};
use kit::database::Database;
use kit::side::{MariadbA, PoolKind, Side, Sqlite, SqliteB};

use crate::connections::pool::{OfMariadb, OfSqlite, Shared as _};
use crate::suite::mount::mount_pools;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    value: String,
}

/// The ways in which a unit can end.
const ENDINGS: [&str; 4] = ["committed", "rolled back", "dropped", "failed"];

/// Ends a unit in one of these ways, with or without a write.
async fn end<S: Side>(binds: &Binds, options: SessionOptions, ending: &str, writes: bool) {
    let mut session = binds.with(options).session();
    S::read(&session).await.unwrap();
    if writes {
        S::write(&session, ending).await.unwrap();
    }
    match ending {
        "committed" => drop(session.commit_all().await.unwrap()),
        "rolled back" => session.rollback_all().await.unwrap(),
        "failed" => {
            S::sql(&session, "not SQL").await.unwrap_err();
            drop(session.commit_all().await);
        }
        _ => drop(session),
    }
}

/// Selects the isolation level that the server uses for the open transaction, which may differ from the reported one.
const LEVEL: &str = "SELECT CONCAT_WS(' ', SLEEP(0.2), trx_isolation_level) AS value \
                     FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = CONNECTION_ID()";

/// Returns the isolation level of the next transaction on the only connection of a pool.
async fn next_level(pool: &OfMariadb) -> String {
    pool.with(async |connection| {
        connection
            .batch_execute("START TRANSACTION; SELECT * FROM notes")
            .await
            .unwrap();
        // The server refreshes that list ten times a second at most, and only while it is not read.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let row: Row = diesel::sql_query(LEVEL)
            .get_result(connection)
            .await
            .unwrap();
        connection.batch_execute("ROLLBACK").await.unwrap();
        row.value
    })
    .await
}

async fn an_isolation_level_ends_with_its_unit(kind: PoolKind) {
    let database = MariadbA::database().await;
    let pool = OfMariadb::open(database.url(), kind, 1, "");
    for options in [BindOptions::new(), BindOptions::new().never_prepare()] {
        let binds = pool
            .register::<MariadbA>(Binds::builder(), options)
            .build()
            .unwrap();
        assert_eq!(next_level(&pool).await, "0 REPEATABLE READ");
        for ending in ENDINGS {
            MariadbA::admin(&database, "DELETE FROM notes").await;
            let options = SessionOptions::new().isolation(Isolation::ReadCommitted);
            end::<MariadbA>(&binds, options.clone(), ending, true).await;
            assert_eq!(next_level(&pool).await, "0 REPEATABLE READ", "{ending}");
            end::<MariadbA>(&binds, options.clone().read_only(), ending, false).await;
            assert_eq!(next_level(&pool).await, "0 REPEATABLE READ", "{ending}");
        }
    }
}

async fn autocommit_is_put_back_to_what_it_was(kind: PoolKind) {
    for before in ["0", "1"] {
        let database = MariadbA::database().await;
        let setup = format!("SET autocommit = {before}");
        let pool = OfMariadb::open(database.url(), kind, 1, &setup);
        let binds = pool
            .register::<MariadbA>(Binds::builder(), BindOptions::new())
            .build()
            .unwrap();
        for ending in ENDINGS {
            MariadbA::admin(&database, "DELETE FROM notes").await;
            for options in [SessionOptions::new(), SessionOptions::new().read_only()] {
                let writes = !format!("{options:?}").contains("read_only: true");
                end::<MariadbA>(&binds, options, ending, writes).await;
                let after: Row = pool
                    .with(async |connection| {
                        // Refused within a transaction.
                        let mode = "SET TRANSACTION READ WRITE";
                        connection.batch_execute(mode).await.unwrap();
                        let query = "SELECT CAST(CAST(@@autocommit AS SIGNED) AS CHAR) AS value";
                        diesel::sql_query(query)
                            .get_result(connection)
                            .await
                            .unwrap()
                    })
                    .await;
                assert_eq!(after.value, before, "{ending}");
            }
            let kept = MariadbA::rows(&database).await;
            match ending {
                "committed" => assert_eq!(kept, [ending]),
                // An error ends no transaction of MariaDB, so the commit keeps the write.
                "failed" => {}
                _ => assert_eq!(kept, [""; 0]),
            }
        }
    }
}

/// Without autocommit, XA branches must work as well.
async fn a_pool_without_autocommit_takes_part_in_a_decision(kind: PoolKind) {
    let (database, other) = (MariadbA::database().await, Sqlite::database().await);
    let pool = OfMariadb::open(database.url(), kind, 1, "SET autocommit = 0");
    let builder =
        Sqlite::register(Binds::builder(), other.url(), kind, 1, BindOptions::new()).await;
    let builder = builder.namespace("zero");
    let binds = pool
        .register::<MariadbA>(builder, BindOptions::new())
        .build()
        .unwrap();
    for text in ["one", "two"] {
        let mut session = binds.session();
        MariadbA::write(&session, text).await.unwrap();
        Sqlite::write(&session, text).await.unwrap();
        assert!(session.commit_all().await.unwrap().gid().is_some());
        MariadbA::write(&session, "gone").await.unwrap();
        session.rollback_all().await.unwrap();
    }
    assert_eq!(MariadbA::rows(&database).await, ["one", "two"]);
    assert_eq!(Sqlite::rows(&other).await, ["one", "two"]);
}

/// Returns the files and the settings of the only connection of a pool.
async fn of_sqlite(pool: &OfSqlite) -> Vec<String> {
    pool.with(async |connection| {
        let query = "SELECT group_concat(name) AS value FROM pragma_database_list UNION ALL \
                     SELECT 'query only ' || query_only FROM pragma_query_only UNION ALL \
                     SELECT 'busy timeout ' || timeout FROM pragma_busy_timeout";
        let rows: Vec<Row> = diesel::sql_query(query).load(connection).await.unwrap();
        rows.into_iter().map(|row| row.value).collect()
    })
    .await
}

async fn settings_of_a_unit_on_sqlite_are_put_back(kind: PoolKind) {
    for before in ["0", "1"] {
        let database = Sqlite::database().await;
        let setup = format!("PRAGMA query_only = {before}; PRAGMA busy_timeout = 77");
        let pool = OfSqlite::open(database.url(), kind, 1, &setup);
        let binds = pool
            .register::<Sqlite>(Binds::builder(), BindOptions::new())
            .build()
            .unwrap();
        let fresh = of_sqlite(&pool).await;
        for ending in ENDINGS {
            end::<Sqlite>(&binds, SessionOptions::new().read_only(), ending, false).await;
            assert_eq!(of_sqlite(&pool).await, fresh, "{ending}");
        }
    }
}

/// Two registries use one pool, and one of them attaches a file. The other must not find tables that belong to none of
/// its binds.
async fn no_file_of_a_group_stays_attached(kind: PoolKind) {
    let (database, second) = (Sqlite::database().await, Database::sqlite());
    Sqlite::admin(&second, "CREATE TABLE others (id INTEGER PRIMARY KEY)").await;
    let pool = OfSqlite::open(database.url(), kind, 1, "");
    let binds = pool
        .register::<Sqlite>(Binds::builder(), BindOptions::new())
        .bind(SqliteB, Source::url(second.url()).attach_to(Sqlite))
        .build()
        .unwrap();
    let fresh = of_sqlite(&pool).await;
    for ending in ENDINGS {
        Sqlite::admin(&database, "DELETE FROM notes").await;
        end::<Sqlite>(&binds, SessionOptions::new(), ending, true).await;
        assert_eq!(of_sqlite(&pool).await, fresh, "{ending}");
        end::<Sqlite>(&binds, SessionOptions::new().read_only(), ending, false).await;
        assert_eq!(of_sqlite(&pool).await, fresh, "{ending}");
    }
    // A file that was attached by other code stays attached.
    let theirs = format!("ATTACH '{}' AS \"lite-b\"", second.url());
    pool.with(async |connection| connection.batch_execute(&theirs).await.unwrap())
        .await;
    end::<Sqlite>(
        &binds,
        SessionOptions::new().read_only(),
        "committed",
        false,
    )
    .await;
    assert_eq!(of_sqlite(&pool).await[0], "main,lite-b");
}

mount_pools!(
    an_isolation_level_ends_with_its_unit,
    autocommit_is_put_back_to_what_it_was,
    a_pool_without_autocommit_takes_part_in_a_decision,
    settings_of_a_unit_on_sqlite_are_put_back,
    no_file_of_a_group_stays_attached,
);
