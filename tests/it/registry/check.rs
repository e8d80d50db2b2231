//! The preflight: its findings on real servers, for a program to match on and for a person to read.

use std::time::Duration;

use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, deadpool};
use diesel_async::{AsyncConnection as _, SimpleAsyncConnection as _};
use diesel_binds::backend::Backend;
use diesel_binds::check::{Finding, Report, Severity};
use diesel_binds::error::Fault;
use diesel_binds::{
    AsyncSqliteConnection, BindOptions, Binds, PoolOptions, RecoveryOptions, Source,
};
use futures_util::FutureExt as _;
use kit::database::Database;
use kit::proxy::Proxy;
use kit::servers::Server;
use kit::side::{MariadbA, PoolKind, PostgresA, PostgresB, PostgresPlain, Side, Sqlite};
use kit::world::World;

use crate::registry::binds::{
    Accounts, Archive, Cache, Ledger, NOWHERE_MYSQL, NOWHERE_POSTGRES, Orders,
};

fn findings<'r>(report: &'r Report, bind: &str) -> &'r [Finding] {
    &report.bind(bind).expect("each bind has a report").findings
}

#[tokio::test]
async fn a_healthy_registry_reports_who_may_prepare() {
    let world = World::of::<(PostgresA, PostgresPlain, MariadbA, Sqlite)>(PoolKind::Deadpool).await;
    let report = world.binds.check().await;
    assert!(matches!(findings(&report, "pg-a"), [Finding::CanPrepare]));
    assert!(matches!(findings(&report, "my-a"), [Finding::CanPrepare]));
    assert!(matches!(
        findings(&report, "pg-plain"),
        [Finding::CannotPrepare { reason, not_with }]
            if reason.contains("max_prepared_transactions") && not_with == &["lite"]
    ));
    assert!(matches!(
        findings(&report, "lite"),
        [Finding::CannotPrepare { reason, not_with }]
            if reason.contains("SQLite") && not_with == &["pg-plain"]
    ));
    assert_eq!(report.severity(), Severity::Warning);
    let of = |bind: &str| report.bind(bind).map(|bind| bind.backend);
    assert_eq!(of("pg-a"), Some(Backend::Postgres));
    assert_eq!(of("my-a"), Some(Backend::Mysql));
    assert_eq!(of("lite"), Some(Backend::Sqlite));
    assert_eq!(of("nobody"), None);
    for bind in &report.binds {
        assert!(bind.version.as_ref().is_some_and(|v| !v.is_empty()));
    }
}

#[tokio::test]
async fn one_bind_that_cannot_prepare_is_as_it_should_be() {
    let world = World::of::<(PostgresA, Sqlite)>(PoolKind::Deadpool).await;
    let report = world.binds.check().await;
    assert!(matches!(
        findings(&report, "lite"),
        [Finding::CannotPrepare { not_with, .. }] if not_with.is_empty()
    ));
    assert_eq!(report.severity(), Severity::Info);
}

#[tokio::test]
async fn a_bind_alone_never_prepares_and_is_not_asked_about_it() {
    let database = Database::on(Server::PostgresPlain).await;
    let binds = Binds::builder()
        .bind(Accounts, Source::url(database.url()))
        .build()
        .unwrap();
    let report = binds.check().await;
    assert!(findings(&report, "accounts").is_empty());
    assert_eq!(report.severity(), Severity::Info);
}

#[tokio::test]
async fn servers_that_are_down_are_unreachable() {
    let binds = Binds::builder()
        .namespace("app")
        .bind(Accounts, Source::url(NOWHERE_POSTGRES))
        .bind(Ledger, Source::url(NOWHERE_MYSQL))
        .bind(Cache, Source::url("/no/such/folder/cache.db"))
        .build()
        .unwrap();
    let report = binds.check().await;
    for bind in ["accounts", "ledger", "cache"] {
        assert!(matches!(
            findings(&report, bind),
            [Finding::Unreachable(Fault::Connect(_))]
        ));
        assert_eq!(report.bind(bind).unwrap().version, None);
    }
    assert_eq!(report.severity(), Severity::Error);
    let text = report.to_string();
    assert!(text.contains("accounts (PostgreSQL not reached)\n  error: it cannot be reached: "));
    assert_eq!(text.matches("Connection refused").count(), 2, "{text}");
    assert!(text.contains("ledger (MySQL/MariaDB not reached)\n  error: it cannot be reached: "));
}

#[tokio::test]
async fn a_server_that_stops_answering_is_unreachable() {
    let database = Database::on(Server::PostgresA).await;
    let proxy = Proxy::start(database.url()).await;
    let binds = Binds::builder()
        .bind(
            Accounts,
            Source::url(proxy.url(database.url())).setup({
                let proxy = std::sync::Arc::new(proxy);
                move |url| {
                    let proxy = std::sync::Arc::clone(&proxy);
                    async move {
                        let connection = diesel_async::AsyncPgConnection::establish(url).await;
                        proxy.stall();
                        connection
                    }
                    .boxed()
                }
            }),
        )
        .step_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    let report = binds.check().await;
    assert!(matches!(
        findings(&report, "accounts"),
        [Finding::Unreachable(Fault::TimedOut)]
    ));
}

#[tokio::test]
async fn slots_for_fewer_units_than_the_pool_allows_are_reported() {
    let (first, second) = (PostgresA::database().await, PostgresB::database().await);
    let binds = Binds::builder()
        .namespace("app")
        .bind(
            Accounts,
            Source::url(first.url()).pool_options(PoolOptions::new().max_size(10_000)),
        )
        .bind(Orders, Source::url(second.url()))
        .build()
        .unwrap();
    let report = binds.check().await;
    assert!(matches!(
        findings(&report, "accounts"),
        [
            Finding::CanPrepare,
            Finding::FewSlots {
                slots: 1..,
                pool: 10_000
            }
        ]
    ));
    assert!(matches!(findings(&report, "orders"), [Finding::CanPrepare]));
}

#[tokio::test]
async fn a_bind_told_never_to_prepare_is_reported_so() {
    let (first, second) = (PostgresA::database().await, MariadbA::database().await);
    let binds = Binds::builder()
        .namespace("app")
        .bind(
            Accounts,
            Source::url(first.url()).options(BindOptions::new().never_prepare()),
        )
        .bind(Ledger, Source::url(second.url()))
        .build()
        .unwrap();
    let report = binds.check().await;
    assert!(matches!(
        findings(&report, "accounts"),
        [Finding::CannotPrepare { reason, not_with }]
            if reason.contains("never_prepare") && not_with.is_empty()
    ));
}

/// Returns a SQLite bind whose connections are less durable than the library's own.
async fn with_sqlite(path: &str, pragma: &'static str, options: BindOptions) -> Binds {
    let other = Sqlite::database().await;
    Binds::builder()
        .bind(
            Cache,
            Source::url(path)
                .setup(move |path| {
                    async move {
                        let mut connection = AsyncSqliteConnection::establish(path).await?;
                        let set = connection.batch_execute(pragma).await;
                        set.map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
                        Ok(connection)
                    }
                    .boxed()
                })
                .options(options),
        )
        .bind(Archive, Source::url(other.url()))
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_database_that_may_forget_a_commit_is_reported_beside_the_rest() {
    let database = Sqlite::database().await;
    let binds = with_sqlite(
        database.url(),
        "PRAGMA synchronous = NORMAL",
        BindOptions::new(),
    )
    .await;
    assert!(matches!(
        findings(&binds.check().await, "cache"),
        [Finding::CannotPrepare { .. }, Finding::NotDurable { setting, allowed: false }]
            if setting.contains("synchronous")
    ));

    let bare = Database::sqlite();
    let binds = with_sqlite(
        bare.url(),
        "PRAGMA journal_mode = MEMORY",
        BindOptions::new().allow_not_durable(),
    )
    .await;
    assert!(matches!(
        findings(&binds.check().await, "cache"),
        [
            Finding::CannotPrepare { .. },
            Finding::NotDurable { setting, allowed: true },
            Finding::Tables(Fault::NotInstalled(_)),
        ] if setting.contains("journal_mode")
    ));

    let binds = with_sqlite(":memory:", "PRAGMA user_version", BindOptions::new()).await;
    assert!(matches!(
        findings(&binds.check().await, "cache"),
        [
            Finding::CannotPrepare { .. },
            Finding::NotDurable { setting, .. },
            Finding::Tables(_),
            Finding::Remark(_),
        ] if setting.contains("no file")
    ));
}

async fn tables_of<S: Side, T: Side>(break_them: &str) -> Vec<Finding>
where
    (S, T): kit::world::Sides,
{
    let world = World::of::<(S, T)>(PoolKind::Deadpool).await;
    S::admin(&world.databases[0], break_them).await;
    let mut report = world.binds.check().await;
    assert!(report.severity() >= Severity::Warning);
    report.binds.swap_remove(0).findings
}

async fn tables_that_are_not_ours_are_reported<S: Side, T: Side>()
where
    (S, T): kit::world::Sides,
{
    let found = tables_of::<S, T>("DROP TABLE diesel_binds_meta").await;
    assert!(matches!(
        found.last(),
        Some(Finding::Tables(Fault::NotInstalled(_)))
    ));
    let found = tables_of::<S, T>("DELETE FROM diesel_binds_meta").await;
    assert!(matches!(
        found.last(),
        Some(Finding::Tables(Fault::NotInstalled(_)))
    ));
    let found = tables_of::<S, T>("UPDATE diesel_binds_meta SET version = 99").await;
    assert!(matches!(
        found.last(),
        Some(Finding::Tables(Fault::OtherVersion { found: 99, .. }))
    ));
    let found = tables_of::<S, T>("UPDATE diesel_binds_meta SET holder_id = 'somebody'").await;
    assert!(matches!(
        found.last(),
        Some(Finding::Tables(Fault::InvalidId(_)))
    ));
}

#[tokio::test]
async fn tables_that_are_not_ours_are_reported_on_postgres() {
    tables_that_are_not_ours_are_reported::<PostgresA, Sqlite>().await;
}

#[tokio::test]
async fn tables_that_are_not_ours_are_reported_on_mariadb() {
    tables_that_are_not_ours_are_reported::<MariadbA, Sqlite>().await;
}

#[tokio::test]
async fn tables_that_are_not_ours_are_reported_on_sqlite() {
    tables_that_are_not_ours_are_reported::<Sqlite, PostgresA>().await;
}

#[tokio::test]
async fn a_missing_decision_table_is_reported() {
    for found in [
        tables_of::<PostgresA, Sqlite>("DROP TABLE diesel_binds_decision").await,
        tables_of::<MariadbA, Sqlite>("DROP TABLE diesel_binds_decision").await,
        tables_of::<MariadbA, Sqlite>("DROP TABLE diesel_binds_branch").await,
        tables_of::<Sqlite, PostgresA>("DROP TABLE diesel_binds_decision").await,
    ] {
        assert!(
            matches!(found.last(), Some(Finding::Tables(Fault::NotInstalled(_)))),
            "{found:?}"
        );
    }
}

#[tokio::test]
async fn two_binds_on_one_database_are_reported_unless_they_say_so() {
    let database = PostgresA::database().await;
    let undeclared = Binds::builder()
        .namespace("app")
        .bind(Accounts, Source::url(database.url()))
        .bind(
            Orders,
            Source::url(database.url().replace("127.0.0.1", "localhost")),
        )
        .build()
        .unwrap();
    let report = undeclared.check().await;
    assert!(matches!(
        findings(&report, "orders"),
        [
            Finding::SameDatabase { with: "accounts" },
            Finding::CanPrepare
        ]
    ));
    assert!(report.to_string().contains("Source::shared_with("));
    let declared = Binds::builder()
        .bind(Accounts, Source::url(database.url()))
        .bind(Orders, Source::shared_with(Accounts))
        .build()
        .unwrap();
    assert_eq!(declared.check().await.severity(), Severity::Info);

    // Two databases of one server are not taken for one.
    let other = PostgresA::database().await;
    let two = Binds::builder()
        .namespace("app")
        .bind(Accounts, Source::url(database.url()))
        .bind(Orders, Source::url(other.url()))
        .build()
        .unwrap();
    assert_eq!(two.check().await.severity(), Severity::Info);
}

#[tokio::test]
async fn two_binds_on_one_file_are_reported() {
    let database = Sqlite::database().await;
    let binds = Binds::builder()
        .bind(Cache, Source::url(database.url()))
        .bind(Archive, Source::url(format!("sqlite://{}", database.url())))
        .build()
        .unwrap();
    assert!(matches!(
        findings(&binds.check().await, "archive").first(),
        Some(Finding::SameDatabase { with: "cache" })
    ));
}

#[tokio::test]
async fn tables_without_transactions_are_remarked() {
    let world = World::of::<(MariadbA, Sqlite)>(PoolKind::Bb8).await;
    let table = "CREATE TABLE loose (id INTEGER) ENGINE = MyISAM";
    MariadbA::admin(&world.databases[0], table).await;
    let report = world.binds.check().await;
    assert!(matches!(
        findings(&report, "my-a"),
        [Finding::CanPrepare, Finding::Remark(remark)] if remark.contains("InnoDB")
    ));
}

/// The builder checks the URL of such a pool, but neither a set-up nor a pool of the application.
#[tokio::test]
async fn a_database_without_a_file_is_remarked() {
    let opened =
        Source::url(":memory:").setup(|path| AsyncSqliteConnection::establish(path).boxed());
    let manager = AsyncDieselConnectionManager::<AsyncSqliteConnection>::new(":memory:");
    let pool = deadpool::Pool::builder(manager).build().unwrap();
    let file = Database::sqlite();
    for (source, expected) in [
        (opened, true),
        (Source::pool(pool), true),
        (Source::url(file.url()), false),
    ] {
        let binds = Binds::builder().bind(Cache, source).build().unwrap();
        let report = binds.check().await;
        let found = findings(&report, "cache");
        let remarked = matches!(found, [Finding::Remark(remark)] if remark.contains("no file"));
        assert_eq!(
            (remarked, found.len()),
            (expected, expected.into()),
            "{report}"
        );
    }
}

#[tokio::test]
async fn a_person_can_read_the_report() {
    let world = World::of::<(PostgresA, PostgresPlain)>(PoolKind::Deadpool).await;
    PostgresA::admin(
        &world.databases[0],
        "UPDATE diesel_binds_meta SET version = 7",
    )
    .await;
    let report = world.binds.check().await;
    let version = |bind: &str| report.bind(bind).unwrap().version.clone().unwrap();
    assert_eq!(
        report.to_string(),
        format!(
            "pg-a (PostgreSQL {})\n\
             \x20 ok: its transactions can be prepared\n\
             \x20 warning: it cannot join units of several writers, nor record its commits: the tables of diesel-binds have version 7, and this library needs version 2: use the version of the library that made them\n\
             pg-plain (PostgreSQL {})\n\
             \x20 ok: its transactions cannot be prepared (`max_prepared_transactions` is 0): it holds the decision of \
             the units that it writes in\n",
            version("pg-a"),
            version("pg-plain")
        )
    );
}

#[tokio::test]
async fn a_check_leaves_the_pools_as_they_were() {
    let world = World::of::<(PostgresA, MariadbA)>(PoolKind::Deadpool).await;
    // All connections of the pools are in use, and the check opens its own.
    let sessions: Vec<_> = (0..4).map(|_| world.binds.session()).collect();
    for session in &sessions {
        PostgresA::read(session).await.unwrap();
        MariadbA::read(session).await.unwrap();
    }
    let report = world.binds.check().await;
    assert_eq!(report.severity(), Severity::Info);
}

/// Without these rights, a role can commit, but its records are never deleted.
#[tokio::test]
async fn a_role_that_cannot_forget_is_reported_where_it_is_to_recover() {
    async fn finding<S: Side>(
        as_login: &str,
        key: &str,
        options: RecoveryOptions,
    ) -> Option<String> {
        let second = PostgresB::database().await;
        let builder = Binds::builder().namespace("forgetful").recovery(options);
        let pool = PoolKind::Deadpool;
        let builder = S::register(builder, as_login, pool, 2, BindOptions::new()).await;
        let binds = builder
            .bind(PostgresB, Source::url(second.url()))
            .build()
            .unwrap();
        let report = binds.check().await;
        binds.close().await;
        findings(&report, key)
            .iter()
            .find_map(|finding| match finding {
                Finding::CannotForget(Fault::Statement(error)) => Some(error.to_string()),
                _ => None,
            })
    }

    let (decision, horizon) = ("diesel_binds_decision", "diesel_binds_horizon");
    let rights = [
        (decision, "DELETE", "UPDATE, INSERT"),
        (horizon, "UPDATE", "INSERT, DELETE"),
        (horizon, "INSERT", "UPDATE, DELETE"),
    ];
    for (table, missing, others) in rights {
        let rest = if table == decision { horizon } else { decision };

        let database = PostgresA::database().await;
        let login = format!("login_{}", database.name().unwrap());
        let grant = format!(
            "CREATE ROLE {login} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {login}; \
             GRANT {others} ON {table} TO {login}; GRANT ALL ON {rest} TO {login}"
        );
        PostgresA::admin(&database, &grant).await;
        let as_login = database.url().replace("postgres@", &format!("{login}@"));
        let found_here = finding::<PostgresA>(&as_login, "pg-a", RecoveryOptions::new()).await;
        let found_elsewhere =
            finding::<PostgresA>(&as_login, "pg-a", RecoveryOptions::new().without_worker()).await;
        let drop = format!("DROP OWNED BY {login}; DROP ROLE {login}");
        PostgresA::admin(&database, &drop).await;
        assert!(
            found_here.is_some_and(|error| error.contains(table)),
            "{table}: {missing}"
        );
        assert_eq!(found_elsewhere, None);

        let database = MariadbA::database().await;
        let name = database.name().unwrap();
        let login = format!("l{}", &name[5..]);
        let grant = format!(
            "CREATE USER '{login}'@'%' IDENTIFIED BY 'secret'; GRANT SELECT ON {name}.* TO '{login}'@'%'; \
             GRANT INSERT ON {name}.diesel_binds_branch TO '{login}'@'%'; \
             GRANT {others} ON {name}.{table} TO '{login}'@'%'; GRANT INSERT, UPDATE, DELETE ON {name}.{rest} TO '{login}'@'%'"
        );
        MariadbA::admin(&database, &grant).await;
        let as_login = database.url().replace("root@", &format!("{login}:secret@"));
        let found_here = finding::<MariadbA>(&as_login, "my-a", RecoveryOptions::new()).await;
        MariadbA::admin(&database, &format!("DROP USER '{login}'@'%'")).await;
        assert!(
            found_here.is_some_and(|error| error.contains(table)),
            "{table}: {missing}"
        );
    }
}

/// Without a journal, a roll-back keeps the writes.
#[tokio::test]
async fn a_pool_without_a_journal_begins_nothing() {
    let database = Sqlite::database().await;
    let mut config = ManagerConfig::<AsyncSqliteConnection>::default();
    config.custom_setup = Box::new(|url| {
        async move {
            let mut connection = AsyncSqliteConnection::establish(url).await?;
            let set = connection.batch_execute("PRAGMA journal_mode = OFF").await;
            set.map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
            Ok(connection)
        }
        .boxed()
    });
    let manager = AsyncDieselConnectionManager::new_with_config(database.url(), config);
    let pool = deadpool::Pool::builder(manager).build().unwrap();
    let binds = Binds::builder().bind(Sqlite, pool).build().unwrap();
    let refused = Sqlite::write(&binds.session(), "refused")
        .await
        .unwrap_err();
    assert!(format!("{refused:?}").contains("journal_mode"), "{refused}");
    assert!(matches!(
        findings(&binds.check().await, "lite"),
        [Finding::Unusable(_)]
    ));
}
