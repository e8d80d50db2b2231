//! The instrumentation that connections get for the spans of their statements, and the application's own that stays
//! there.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use diesel::connection::InstrumentationEvent;
use diesel_async::AsyncConnection as _;
use diesel_binds::Binds;
use diesel_binds::trace::StatementSpans;
use futures_util::FutureExt as _;
use kit::database::Database;
use kit::side::{PostgresB, Side};

use crate::listener::recorded_in;
use crate::spans::{inserts, named, record};

/// Returns a pool of one connection, which the application also uses directly.
pub(crate) async fn pool(
    database: &Database,
) -> diesel_async::pooled_connection::deadpool::Pool<diesel_async::AsyncPgConnection> {
    let manager =
        diesel_async::pooled_connection::AsyncDieselConnectionManager::new(database.url());
    diesel_async::pooled_connection::deadpool::Pool::builder(manager)
        .max_size(1)
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_user_of_a_connection_is_not_observed() {
    use diesel_async::SimpleAsyncConnection as _;

    let database = PostgresB::database().await;
    let pool = pool(&database).await;
    let binds = Binds::builder()
        .bind(PostgresB, pool.clone())
        .build()
        .unwrap();
    let recorded = record(async {
        let mut session = binds.session();
        PostgresB::write(&session, "observed").await.unwrap();
        session.commit_all().await.unwrap();
        let mut connection = pool.get().await.unwrap();
        let deleting = connection.batch_execute("DELETE FROM notes");
        deleting.await.unwrap();
    })
    .await;
    let statements = named(&recorded, "statement");
    assert!(!statements.is_empty());
    assert!(
        statements
            .iter()
            .all(|s| s.field("db.operation.name") != "DELETE")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instrumentation_of_the_application_keeps_working() {
    let database = PostgresB::database().await;
    let pool = pool(&database).await;
    let binds = Binds::builder()
        .bind(PostgresB, pool.clone())
        .build()
        .unwrap();
    for within_ours in [false, true] {
        let count = Arc::new(AtomicUsize::new(0));
        let counting = {
            let count = Arc::clone(&count);
            move |event: InstrumentationEvent<'_>| {
                if let InstrumentationEvent::StartQuery { .. } = event {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
        };
        {
            let mut connection = pool.get().await.unwrap();
            match within_ours {
                false => connection.set_instrumentation(counting),
                true => connection.set_instrumentation(StatementSpans::over(counting)),
            }
        }
        let recorded = record(async {
            let mut session = binds.session();
            PostgresB::write(&session, &format!("{within_ours}"))
                .await
                .unwrap();
            session.commit_all().await.unwrap();
        })
        .await;
        // A begin, an insert, a commit.
        assert!(count.load(Ordering::SeqCst) >= 3);
        assert_eq!(inserts(&recorded).len(), usize::from(within_ours));
        assert_eq!(named(&recorded, "transaction").len(), 1);
    }
}

/// The reply to a dropped statement on the raw connection is never read, and no event reports its end.
#[tokio::test(flavor = "multi_thread")]
async fn spans_of_statements_without_an_end_are_removed() {
    use diesel_async::{RunQueryDsl as _, SimpleAsyncConnection as _};

    let database = PostgresB::database().await;
    let pool = pool(&database).await;
    let binds = Binds::builder()
        .bind(PostgresB, pool.clone())
        .build()
        .unwrap();
    let open = || {
        let recorded = recorded_in(&tracing::Span::current());
        let statements = named(&recorded, "statement");
        statements
            .iter()
            .filter(|recorded| !recorded.is_closed)
            .count()
    };
    let recorded = record(async {
        let mut session = binds.session();
        PostgresB::write(&session, "twice").await.unwrap();
        {
            let mut connection = session.connection(PostgresB).await.unwrap();
            let raw = connection.raw().unwrap();
            for _ in 0..100 {
                let abandoned = pin!(diesel::sql_query("SELECT 1").execute(&mut *raw));
                // Some may be answered by then.
                drop(abandoned.now_or_never());
            }
            raw.batch_execute("SAVEPOINT before").await.unwrap();
            let twice = diesel::sql_query("INSERT INTO notes (text) VALUES ('twice')");
            twice.execute(raw).await.unwrap_err();
            raw.batch_execute("ROLLBACK TO before").await.unwrap();
        }
        assert!((1..=16).contains(&open()), "{} are open", open());
        session.commit_all().await.unwrap();
        let mut connection = pool.get().await.unwrap();
        connection.batch_execute("SELECT 2").await.unwrap();
        assert_eq!(open(), 0);
    })
    .await;
    // The failure belongs to its own statement.
    let failed: Vec<_> = named(&recorded, "statement")
        .into_iter()
        .filter(|recorded| !recorded.field("error.type").is_empty())
        .collect();
    let [failed] = failed[..] else {
        panic!("one, but {failed:#?}");
    };
    assert_eq!(failed.field("error.type"), "UniqueViolation");
    assert_eq!(failed.field("db.operation.name"), "INSERT");
}
