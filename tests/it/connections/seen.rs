//! No statement of the library between two statements of the application is visible to it.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::BigInt;
use diesel_async::SimpleAsyncConnection as _;
use diesel_binds::{
    BindOptions, Binds, Error, Retry, RunQueryDsl as _, Session, SessionOptions, Source,
};
use futures_util::TryStreamExt as _;
use kit::database::Database;
use kit::side::{MariadbA, PoolKind, PostgresA, Side, Sqlite};

/// A deadline that no test reaches.
const LATE: Duration = Duration::from_secs(60);

/// The server accepts `SET TRANSACTION` only before the first statement that takes a snapshot.
#[tokio::test]
async fn a_transaction_of_postgres_takes_its_isolation_level_as_first_statement() {
    let database = PostgresA::database().await;
    let builder = PostgresA::register(
        Binds::builder(),
        database.url(),
        PoolKind::Deadpool,
        1,
        BindOptions::new(),
    );
    let binds = builder.await.build().unwrap();
    for level in ["serializable", "repeatable read"] {
        let mut session = binds.session();
        let set = format!("SET TRANSACTION ISOLATION LEVEL {level}");
        PostgresA::sql(&session, &set).await.unwrap();
        let said = "SELECT current_setting('transaction_isolation') AS text";
        assert_eq!(PostgresA::text(&session, said).await.unwrap(), level);
        PostgresA::write(&session, level).await.unwrap();
        session.commit_all().await.unwrap();
    }
}

#[derive(Debug, QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

async fn mariadb(options: BindOptions) -> (Database, Binds) {
    let database = MariadbA::database().await;
    let builder = Binds::builder().namespace("seen");
    let builder = MariadbA::register(builder, database.url(), PoolKind::Deadpool, 1, options).await;
    let other = Database::sqlite();
    let builder = builder.bind(Sqlite, Source::url(other.url()));
    (database, builder.build().unwrap())
}

/// Returns a count that describes the last statement. MySQL prepares no question for `@@warning_count` or `@@error_count`.
async fn described(session: &Session, count: &str) -> i64 {
    let mut expression = count;
    if MariadbA::is_mysql() && count.starts_with("@@") {
        let mut connection = session.connection(MariadbA).await.unwrap();
        let raw = connection.raw().unwrap();
        let set = format!("SET @described = {count}");
        raw.batch_execute(&set).await.unwrap();
        expression = "@described";
    }
    let sql = format!("SELECT CAST({expression} AS SIGNED) AS number");
    let row: Number = diesel::sql_query(sql)
        .get_result(&session.on(MariadbA))
        .await
        .unwrap();
    row.number
}

/// Counts, warnings and ids of the last statement stay: a statement of the library would replace them.
#[tokio::test]
async fn mariadb_describes_the_last_statement_of_the_application() {
    for options in [BindOptions::new(), BindOptions::new().never_prepare()] {
        let (_database, binds) = mariadb(options).await;
        for session_options in [SessionOptions::new(), SessionOptions::new().deadline(LATE)] {
            let session = binds.with(session_options).session();
            let number = async |count: &str| described(&session, count).await;
            let run = async |sql: &str| MariadbA::sql(&session, sql).await;
            run("INSERT INTO notes (id, text) VALUES (11, 'a'), (12, 'b'), (13, 'c')")
                .await
                .unwrap();
            assert_eq!(number("ROW_COUNT()").await, 3);
            run("SELECT SQL_CALC_FOUND_ROWS * FROM notes LIMIT 1")
                .await
                .unwrap();
            assert_eq!(number("FOUND_ROWS()").await, 3);
            run("INSERT INTO notes (text) VALUES ('d')").await.unwrap();
            assert!(number("LAST_INSERT_ID()").await > 13);
            run("SELECT CAST('x' AS SIGNED)").await.unwrap();
            assert_eq!(number("@@warning_count").await, 1);
            // Typed statements were never followed by a check.
            MariadbA::write(&session, "e").await.unwrap();
            assert_eq!(number("ROW_COUNT()").await, 1);
            run("not SQL").await.unwrap_err();
            assert_eq!(number("ROW_COUNT()").await, -1);
        }
    }
}

/// The library reads the errors of a unit that may run again, and the diagnostics of the server are unchanged.
#[tokio::test]
async fn diagnostics_of_mariadb_stay_where_units_run_again() {
    let (_database, binds) = mariadb(BindOptions::new()).await;
    let result: Result<(), _> = binds
        .retrying(Retry::new().attempts(1))
        .transaction(async |session: &mut Session| {
            MariadbA::sql(session, "not SQL").await.unwrap_err();
            // MySQL clears them with the question of the library, whose statements have no table.
            let errors = i64::from(!MariadbA::is_mysql());
            assert_eq!(described(session, "@@error_count").await, errors);
            MariadbA::sql(session, "not SQL").await.unwrap_err();
            assert_eq!(described(session, "ROW_COUNT()").await, 0);
            Ok::<_, Error>(())
        })
        .await;
    result.unwrap();
}

/// The failed statement returns the error, not a later one.
#[tokio::test]
async fn an_error_in_a_later_result_of_a_call_is_that_of_the_call() {
    let (database, binds) = mariadb(BindOptions::new()).await;
    MariadbA::admin(
        &database,
        "CREATE PROCEDURE twice() BEGIN SELECT 1 AS number; \
         SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the second'; END",
    )
    .await;
    MariadbA::admin(
        &database,
        "CREATE PROCEDURE rows_first() BEGIN SELECT 1 AS number UNION ALL SELECT 2; SELECT 3 AS number; \
         SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the second'; END",
    )
    .await;
    for procedure in ["twice", "rows_first"] {
        let call = diesel::sql_query(format!("CALL {procedure}()"));
        let mut session = binds.session();
        MariadbA::write(&session, procedure).await.unwrap();
        let on = session.on(MariadbA);
        let failed = [
            call.clone().execute(&on).await.unwrap_err(),
            call.clone().load::<Number>(&on).await.unwrap_err(),
            call.clone().get_result::<Number>(&on).await.unwrap_err(),
            {
                let rows = call.clone().load_stream::<Number>(&on).await.unwrap();
                let rows: Result<Vec<Number>, Error> = rows.try_collect().await;
                rows.unwrap_err()
            },
        ];
        for error in failed {
            let said = error.diesel().map(ToString::to_string).unwrap_or_default();
            assert!(said.contains("the second"), "{procedure}: {error:?}");
        }
        assert_eq!(MariadbA::echo(&session, 7).await.unwrap(), 7);
        session.commit_all().await.unwrap();
        assert!(
            MariadbA::rows(&database)
                .await
                .contains(&procedure.to_owned())
        );
    }
}

/// The server meets an error in rows that the application has given up. The driver keeps it for whatever is sent next.
#[tokio::test]
async fn an_error_in_the_rest_of_a_dropped_stream_is_that_of_no_later_statement() {
    // The subquery has one row for the first note, and two for the others.
    let query = "SELECT (SELECT 1 UNION SELECT id) AS text FROM notes ORDER BY id";
    for options in [BindOptions::new(), BindOptions::new().never_prepare()] {
        let (database, binds) = mariadb(options).await;
        let rows = "INSERT INTO notes (id, text) VALUES (1, 'a'), (2, 'b'), (3, 'c')";
        MariadbA::admin(&database, rows).await;
        let whole = MariadbA::text(&binds.session(), query).await.unwrap_err();
        assert!(whole.to_string().contains("my-a"), "{whole}");

        let mut session = binds.session();
        MariadbA::first_of(&session, query).await.unwrap();
        assert_eq!(MariadbA::echo(&session, 7).await.unwrap(), 7);
        MariadbA::first_of(&session, query).await.unwrap();
        MariadbA::write(&session, "d").await.unwrap();
        MariadbA::first_of(&session, query).await.unwrap();
        let mut connection = session.connection(MariadbA).await.unwrap();
        let raw = connection.raw().unwrap();
        assert_eq!(MariadbA::echo_raw(raw, 8).await.unwrap(), 8);
        drop(connection);
        MariadbA::first_of(&session, query).await.unwrap();
        session.commit_all().await.unwrap();
        assert_eq!(MariadbA::rows(&database).await, ["a", "b", "c", "d"]);

        // A unit that only reads.
        MariadbA::first_of(&session, query).await.unwrap();
        session.commit_all().await.unwrap();
        MariadbA::write(&session, "e").await.unwrap();
        MariadbA::first_of(&session, query).await.unwrap();
        session.rollback_all().await.unwrap();
        assert_eq!(MariadbA::rows(&database).await, ["a", "b", "c", "d"]);
    }
}
