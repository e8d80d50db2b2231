//! Databases that may lose a confirmed commit, and names of the maximum length.

use diesel_binds::config::HolderPreference;
use diesel_binds::error::Fault;
use diesel_binds::{Bind, BindOptions, Binds, CommitError, PoolOptions, RunQueryDsl as _, Source};
use kit::database::Database;
use kit::side::{MariadbA, PoolKind, PostgresA, PostgresB, Side, Sqlite};

use crate::commit::pair::sqlite_with;

/// Returns binds over PostgreSQL and a SQLite file on which these statements run.
async fn with_sqlite(
    postgres: &Database,
    path: &str,
    setup: &'static str,
    options: BindOptions,
) -> Binds {
    let builder = Binds::builder().namespace("settings");
    let builder = PostgresA::register(
        builder,
        postgres.url(),
        PoolKind::Deadpool,
        2,
        BindOptions::new(),
    )
    .await;
    builder
        .bind(
            Sqlite,
            Source::url(path)
                .setup(sqlite_with(setup))
                .pool_options(PoolOptions::new().max_size(1))
                .options(options),
        )
        .build()
        .unwrap()
}

const MEMORY: &str = concat!(
    "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);",
    include_str!("../../../migrations/sqlite/2026-01-01-000000_diesel_binds/up.sql")
);

#[tokio::test]
async fn a_database_that_may_forget_joins_no_unit_of_several_writers_unless_allowed() {
    for (memory, setup, word) in [
        (false, "PRAGMA synchronous = OFF", "synchronous"),
        (false, "PRAGMA synchronous = NORMAL", "synchronous"),
        (false, "PRAGMA journal_mode = MEMORY", "journal_mode"),
        (true, MEMORY, "no file"),
    ] {
        let (postgres, sqlite) = (PostgresA::database().await, Sqlite::database().await);
        let path = if memory { ":memory:" } else { sqlite.url() };
        let binds = with_sqlite(&postgres, path, setup, BindOptions::new()).await;
        let mut session = binds.session();
        PostgresA::write(&session, "gone").await.unwrap();
        Sqlite::write(&session, "gone").await.unwrap();
        let error = session.commit_all().await.unwrap_err();
        assert!(
            matches!(&error, CommitError::RolledBack { bind: "lite", source: Fault::NotDurable { setting }, .. }
                if setting.contains(word)),
            "{error:?}"
        );
        assert!(PostgresA::rows(&postgres).await.is_empty());
        assert!(Sqlite::read(&session).await.unwrap().is_empty());
        session.rollback_all().await.unwrap();
        // A unit on this bind alone is accepted.
        Sqlite::write(&session, "alone").await.unwrap();
        session.commit_all().await.unwrap();
        binds.close().await;

        let allowed = BindOptions::new().allow_not_durable();
        let binds = with_sqlite(&postgres, path, setup, allowed).await;
        let mut session = binds.session();
        PostgresA::write(&session, "kept").await.unwrap();
        Sqlite::write(&session, "kept").await.unwrap();
        session.commit_all().await.unwrap();
        assert_eq!(PostgresA::rows(&postgres).await, ["kept"]);
        assert!(
            Sqlite::read(&session)
                .await
                .unwrap()
                .contains(&"kept".to_owned())
        );
    }
}

/// Binds with keys of 40 bytes.
#[allow(unreachable_pub, reason = "the derive asks for `pub`")]
mod long {
    use diesel_async::{AsyncMysqlConnection, AsyncPgConnection};
    use diesel_binds::Bind;

    #[derive(Bind, Default)]
    #[bind(key = "postgres-a-with-a-key-of-forty-bytes-lon", connection = AsyncPgConnection)]
    pub struct LongPostgresA;

    #[derive(Bind, Default)]
    #[bind(key = "postgres-b-with-a-key-of-forty-bytes-lon", connection = AsyncPgConnection)]
    pub struct LongPostgresB;

    #[derive(Bind, Default)]
    #[bind(key = "a-mariadb-bind-with-a-key-of-forty-bytes", connection = AsyncMysqlConnection)]
    pub struct LongMariadb;
}

/// Each of the three binds prepares at least once, because the holder changes.
#[tokio::test]
async fn the_longest_names_are_prepared_everywhere() {
    use long::{LongMariadb, LongPostgresA, LongPostgresB};

    let namespace = "a-namespace-of-31-bytes-exactly";
    assert_eq!((namespace.len(), LongPostgresA::KEY.len()), (31, 40));
    let (one, two) = (PostgresA::database().await, PostgresB::database().await);
    let three = MariadbA::database().await;
    for preferred in 0..3 {
        let options = |index| {
            let options = BindOptions::new();
            if index == preferred {
                options.holder(HolderPreference::Prefer)
            } else {
                options
            }
        };
        let pooling = || PoolOptions::new().max_size(1);
        let binds = Binds::builder()
            .namespace(namespace)
            .bind(
                LongPostgresA,
                Source::url(one.url())
                    .pool_options(pooling())
                    .options(options(0)),
            )
            .bind(
                LongPostgresB,
                Source::url(two.url())
                    .pool_options(pooling())
                    .options(options(1)),
            )
            .bind(
                LongMariadb,
                Source::url(three.url())
                    .pool_options(pooling())
                    .options(options(2)),
            )
            .build()
            .unwrap();
        let mut session = binds.session();
        let insert =
            || diesel::sql_query(format!("INSERT INTO notes (text) VALUES ('{preferred}')"));
        insert().execute(&session.on(LongPostgresA)).await.unwrap();
        insert().execute(&session.on(LongPostgresB)).await.unwrap();
        insert().execute(&session.on(LongMariadb)).await.unwrap();
        let committed = session.commit_all().await.unwrap();
        assert!(committed.committed().unwrap().pending().is_empty());
        let holder = [LongPostgresA::KEY, LongPostgresB::KEY, LongMariadb::KEY][preferred];
        assert_eq!(committed.gid().unwrap().holder(), holder);
    }
    assert_eq!(PostgresA::rows(&one).await, ["0", "1", "2"]);
    assert_eq!(PostgresB::rows(&two).await, ["0", "1", "2"]);
    assert_eq!(MariadbA::rows(&three).await, ["0", "1", "2"]);
}
