//! Units behind a pooler that gives a server connection to another client after each transaction.
//!
//! The pooler has one connection for each database, so the next client finds all state that a unit leaves there.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::connection::CacheSize;
use diesel::sql_types::Text;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig};
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use diesel_binds::testing::{Effect, FaultPlan};
use diesel_binds::{Binds, Error, Isolation, SessionOptions};
use futures_util::FutureExt as _;
use kit::admin::Admin;
use kit::database::Database;
use kit::servers::{Server, are_later};
use kit::side::{MariadbA, PoolKind, PostgresA, Side};

use crate::suite::mount::mount_pools;

/// Selects the state that the next client finds on a server connection.
const FOUND: &str = "SELECT concat_ws(' ', current_user, current_setting('search_path'), \
    current_setting('transaction_isolation'), current_setting('transaction_read_only'), \
    current_setting('default_transaction_isolation'), current_setting('default_transaction_read_only'), \
    current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('synchronous_commit'), \
    current_setting('idle_in_transaction_session_timeout'), coalesce(current_setting('diesel_binds.unit', true), ''), \
    (SELECT count(*) FROM pg_listening_channels())) AS value, pg_backend_pid()::text AS process";

/// The state that the next client finds, and the server process of its connection.
#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    value: String,
    #[diesel(sql_type = Text)]
    process: String,
}

struct Pooled {
    binds: Binds,
    postgres: Database,
    mariadb: Database,
    namespace: String,
}

/// Returns the URL of a database on `postgres-a` behind the pooler.
fn behind_pooler(database: &Database) -> String {
    let pooler = Server::Pgbouncer.url();
    let mut url = url::Url::parse(database.url()).unwrap();
    url.set_port(pooler.port()).unwrap();
    url.into()
}

async fn place(pool: PoolKind) -> Pooled {
    let (postgres, mariadb) = (PostgresA::database().await, MariadbA::database().await);
    let namespace = format!("pooler-{}", postgres.name().unwrap().replace("test_", ""));
    let namespace = namespace[namespace.len().saturating_sub(31)..].to_owned();
    // With cached statements, the client would run them on a server connection that does not have them.
    let mut config = ManagerConfig::<AsyncPgConnection>::default();
    config.custom_setup = Box::new(|url| {
        async move {
            let mut connection = AsyncPgConnection::establish(url).await?;
            connection.set_prepared_statement_cache_size(CacheSize::Disabled);
            Ok(connection)
        }
        .boxed()
    });
    let manager = AsyncDieselConnectionManager::new_with_config(behind_pooler(&postgres), config);
    let builder = Binds::builder().namespace(&namespace);
    let builder = match pool {
        PoolKind::Bb8 => builder.bind(
            PostgresA,
            bb8::Pool::builder().max_size(2).build_unchecked(manager),
        ),
        _ => builder.bind(
            PostgresA,
            diesel_async::pooled_connection::deadpool::Pool::builder(manager)
                .max_size(2)
                .build()
                .unwrap(),
        ),
    };
    let options = diesel_binds::BindOptions::new();
    let builder = MariadbA::register(builder, mariadb.url(), pool, 2, options).await;
    Pooled {
        binds: builder.build().unwrap(),
        postgres,
        mariadb,
        namespace,
    }
}

impl Pooled {
    /// Returns the state that another client finds behind the pooler, and the server process.
    async fn found(&self) -> (String, String) {
        let mut connection = AsyncPgConnection::establish(&behind_pooler(&self.postgres))
            .await
            .unwrap();
        connection.set_prepared_statement_cache_size(CacheSize::Disabled);
        let rows: Vec<Row> =
            diesel_async::RunQueryDsl::load(diesel::sql_query(FOUND), &mut connection)
                .await
                .unwrap();
        let row = rows.into_iter().next().unwrap();
        (row.value, row.process)
    }

    async fn are(&self, postgres: &[&str], mariadb: &[&str]) {
        assert_eq!(PostgresA::rows(&self.postgres).await, postgres);
        assert_eq!(MariadbA::rows(&self.mariadb).await, mariadb);
    }
}

async fn units_end_alone_and_together(pool: PoolKind) {
    let place = place(pool).await;
    let mut session = place.binds.session();
    for text in ["alone", "again"] {
        PostgresA::write(&session, text).await.unwrap();
        let committed = session.commit_all().await.unwrap();
        assert!(committed.gid().is_none());
    }
    for text in ["together", "again together"] {
        PostgresA::write(&session, text).await.unwrap();
        MariadbA::write(&session, text).await.unwrap();
        let committed = session.commit_all().await.unwrap();
        assert!(committed.gid().is_some() && committed.committed().unwrap().pending().is_empty());
    }
    PostgresA::write(&session, "gone").await.unwrap();
    MariadbA::write(&session, "gone").await.unwrap();
    session.rollback_all().await.unwrap();
    let undone = session
        .savepoint::<(), Error, _>(async |session| {
            PostgresA::write(session, "gone").await?;
            PostgresA::write(session, "alone").await?;
            Ok(())
        })
        .await;
    undone.unwrap_err();
    PostgresA::write(&session, "after a savepoint")
        .await
        .unwrap();
    session.commit_all().await.unwrap();
    place
        .are(
            &[
                "alone",
                "again",
                "together",
                "again together",
                "after a savepoint",
            ],
            &["together", "again together"],
        )
        .await;
}

async fn nothing_of_a_unit_reaches_the_next_client(pool: PoolKind) {
    let place = place(pool).await;
    let (before, _) = place.found().await;
    let mut met = 0;
    let timeouts = SessionOptions::new()
        .statement_timeout(Duration::from_secs(7))
        .lock_timeout(Duration::from_secs(3))
        .isolation(Isolation::Serializable);
    for (round, options) in [
        timeouts.clone(),
        timeouts.clone().read_only(),
        timeouts.read_only().deferrable(),
    ]
    .into_iter()
    .enumerate()
    {
        for ending in ["committed", "together", "rolled back", "dropped", "failed"] {
            let mut session = place.binds.with(options.clone()).session();
            let text = format!("{round} {ending}");
            PostgresA::read_sql(&session, "SET LOCAL search_path = public, pg_temp")
                .await
                .unwrap();
            let process = "SELECT pg_backend_pid()::text AS text";
            let own = PostgresA::text(&session, process).await.unwrap();
            match round {
                0 => {
                    PostgresA::write(&session, &text).await.unwrap();
                }
                _ => {
                    PostgresA::read(&session).await.unwrap();
                }
            }
            match ending {
                "committed" => drop(session.commit_all().await.unwrap()),
                "together" => {
                    if round == 0 {
                        MariadbA::write(&session, &text).await.unwrap();
                    }
                    drop(session.commit_all().await.unwrap());
                }
                "rolled back" => session.rollback_all().await.unwrap(),
                "failed" => {
                    PostgresA::read_sql(&session, "not SQL").await.unwrap_err();
                    drop(session.commit_all().await);
                }
                _ => drop(session),
            }
            let (found, process) = place.found().await;
            assert_eq!(found, before, "{options:?}, {ending}");
            met += usize::from(process == own);
        }
    }
    // The client often got the server connection that the unit had used.
    assert!(met > 2, "{met}");
}

/// Recovery leaves no state on a connection either.
async fn recovery_leaves_nothing_to_the_next_client(pool: PoolKind) {
    let place = place(pool).await;
    let (before, _) = place.found().await;
    let mut direct = Admin::connect(place.postgres.url()).await;
    for (point, kept) in [("decide:before", false), ("decide:after", true)] {
        let plan = FaultPlan::new().at(point, Effect::Crash);
        let mut session = place
            .binds
            .with(SessionOptions::new().faults(&plan))
            .session();
        PostgresA::write(&session, point).await.unwrap();
        MariadbA::write(&session, point).await.unwrap();
        session.commit_all().await.unwrap_err();
        drop(session);
        let recovery = place.binds.recovery().run_older_than(Duration::ZERO).await;
        assert!(recovery.is_complete(), "{recovery}");
        assert_eq!(place.found().await.0, before, "{point}");
        let expected: &[&str] = if kept { &["decide:after"] } else { &[] };
        place.are(expected, expected).await;
    }
    let left = format!(
        "SELECT gid AS value FROM pg_prepared_xacts WHERE gid LIKE '%{}%'",
        place.namespace
    );
    assert_eq!(direct.values(&left).await.unwrap(), [""; 0]);
}

/// Before 1.21, PgBouncer knows of no prepared statements. Therefore statements must not be cached: the next unit may get a
/// connection without them. Later releases prepare them again.
#[tokio::test]
async fn a_kept_statement_is_only_found_behind_a_later_pooler() {
    let database = PostgresA::database().await;
    let mut direct = Admin::connect(database.url()).await;
    for _ in 0..20 {
        let mut client = AsyncPgConnection::establish(&behind_pooler(&database))
            .await
            .unwrap();
        assert_eq!(PostgresA::echo_raw(&mut client, 1).await.unwrap(), 1);
        direct
            .values(
                "SELECT pg_terminate_backend(pid, 10000)::text AS value FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .await
            .unwrap();
        let (is_known, is_found) = match PostgresA::echo_raw(&mut client, 2).await {
            Ok(echo) => (true, echo == 2),
            Err(error) => (error.to_string().contains("prepared statement"), false),
        };
        if is_known {
            assert_eq!(is_found, are_later());
            return;
        }
        // The pooler had not noticed yet that its connection was gone.
    }
    panic!("the pooler never had another connection");
}

mount_pools!(
    units_end_alone_and_together,
    nothing_of_a_unit_reaches_the_next_client,
    recovery_leaves_nothing_to_the_next_client,
);
