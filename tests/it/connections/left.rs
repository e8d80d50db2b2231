//! A connection goes back into its pool like a fresh one, whatever state the statements of the application left there.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use diesel_async::SimpleAsyncConnection as _;
use diesel_binds::{Bind, BindOptions, Binds, Error, Isolation, SessionOptions};
use kit::side::{MariadbA, PoolKind, PostgresA, Side, Sqlite};

use crate::connections::pool::{OfMariadb, OfPostgres, OfSqlite, Shared};
use crate::suite::polls::DropPoint;

/// The number of units for each backend and pool.
const UNITS: usize = 2_000;

/// The number of units after which all connections are checked.
const ROUND: usize = 50;

const SIZE: usize = 4;

/// The state that a backend can leave on a connection, and the queries that show it.
struct Kind {
    /// The statements that set up each connection of the pool.
    setup: &'static str,
    /// Statements that leave state behind.
    leaving: &'static [&'static str],
    /// Statements that leave no state behind.
    harmless: &'static [&'static str],
    /// Queries whose results differ between connections in different states, with a column `value`.
    seen: &'static [&'static str],
}

const POSTGRES: Kind = Kind {
    setup: "SET search_path = public, pg_temp; SET work_mem = '5MB'",
    leaving: &[
        "SET search_path = other",
        "SET app.tenant = 'somebody'",
        "SELECT set_config('app.other', 'somebody', false)",
        "SET ROLE pg_monitor",
        "SET SESSION AUTHORIZATION pg_monitor",
        "SET work_mem = '7MB'",
        "SET default_transaction_isolation = serializable",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SET statement_timeout = '12s'",
        "SELECT pg_advisory_lock(7)",
        "SELECT pg_advisory_lock_shared(8)",
        "CREATE TEMPORARY TABLE notes (id int, text text)",
        "CREATE TEMPORARY SEQUENCE s; SELECT nextval('s')",
        "LISTEN news",
        "PREPARE by_name AS SELECT 1",
        "DECLARE held CURSOR WITH HOLD FOR SELECT 1",
        "SELECT nextval('public.notes_id_seq')",
        "SET TIME ZONE 'Asia/Tokyo'",
        "RESET work_mem",
    ],
    harmless: &[
        "SELECT 1",
        "SELECT count(*) FROM notes",
        "SET LOCAL work_mem = '9MB'",
    ],
    seen: &[
        "SELECT concat_ws(' ', name, setting, source) AS value FROM pg_settings \
         WHERE name NOT IN ('transaction_isolation') ORDER BY name",
        "SELECT concat_ws(' ', session_user, current_user, current_setting('role'), \
         coalesce(current_setting('app.tenant', true), ''), coalesce(current_setting('app.other', true), '')) AS value",
        "SELECT name AS value FROM pg_prepared_statements WHERE from_sql",
        "SELECT name AS value FROM pg_cursors WHERE is_holdable",
        "SELECT pg_listening_channels() AS value",
        "SELECT objid::text AS value FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
        "SELECT relname::text AS value FROM pg_class WHERE pg_table_is_visible(oid) AND relname IN ('notes', 's') \
         AND relpersistence = 't'",
        "SELECT lastval()::text AS value",
    ],
};

const MARIADB: Kind = Kind {
    setup: "SET SESSION sql_mode = 'ANSI_QUOTES', @of_the_pool = 1",
    leaving: &[
        "SET SESSION sql_mode = ''",
        "SET SESSION sql_mode = 'HIGH_NOT_PRECEDENCE'",
        "SET @somebody = 1",
        "SELECT @somebody := 2",
        "SET @of_the_pool = NULL",
        "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET SESSION max_statement_time = 12",
        "SET SESSION time_zone = '+05:00'",
        "SET timestamp = 86400",
        "SET timestamp = UNIX_TIMESTAMP()",
        "SET pseudo_thread_id = 7",
        "SET insert_id = 77",
        "DO GET_LOCK('left', 0)",
        "CREATE TEMPORARY TABLE left_over (id INT)",
        "CREATE TEMPORARY TABLE notes (id INT, text TEXT)",
        "PREPARE by_name FROM 'SELECT 1'",
        "CREATE TEMPORARY SEQUENCE numbers",
        "LOCK TABLES notes WRITE",
        "USE mysql",
        "SET SESSION foreign_key_checks = 0",
        "SET SESSION autocommit = 0",
        "SET STATEMENT max_statement_time = 1 FOR SET @a = 1",
    ],
    harmless: &["SELECT 1", "SELECT COUNT(*) FROM notes", "DO 1"],
    seen: &[
        "SELECT CONCAT_WS(' ', VARIABLE_NAME, SESSION_VALUE) AS value FROM information_schema.SYSTEM_VARIABLES \
         WHERE VARIABLE_NAME NOT IN ('TIMESTAMP', 'RAND_SEED1', 'RAND_SEED2', 'LAST_INSERT_ID', 'IDENTITY', \
         'ERROR_COUNT', 'WARNING_COUNT', 'PSEUDO_THREAD_ID', 'LAST_GTID') AND SESSION_VALUE IS NOT NULL \
         ORDER BY VARIABLE_NAME",
        "SELECT CONCAT_WS(' ', VARIABLE_NAME, CAST(VARIABLE_VALUE AS CHAR)) AS value \
         FROM information_schema.USER_VARIABLES WHERE VARIABLE_NAME NOT LIKE 'diesel_binds_%' \
         AND VARIABLE_VALUE IS NOT NULL ORDER BY 1",
        "SELECT CONCAT_WS(' ', DATABASE(), COALESCE(IS_USED_LOCK('left') = CONNECTION_ID(), 0), \
         ABS(@@timestamp - UNIX_TIMESTAMP(SYSDATE())) > 5, CONNECTION_ID() = 7) AS value",
        "SELECT CAST(COUNT(id) AS CHAR) AS value FROM left_over",
        "SELECT CAST(COUNT(text) >= 0 AS CHAR) AS value FROM notes WHERE id IS NULL",
        "EXECUTE by_name",
        "SELECT CAST(minimum_value AS CHAR) AS value FROM numbers",
    ],
};

const MYSQL: Kind = Kind {
    seen: &[
        "SELECT CONCAT_WS(' ', VARIABLE_NAME, VARIABLE_VALUE) AS value FROM performance_schema.session_variables \
         WHERE VARIABLE_NAME NOT IN ('timestamp', 'rand_seed1', 'rand_seed2', 'last_insert_id', 'identity', \
         'error_count', 'warning_count', 'pseudo_thread_id', 'statement_id', 'gtid_executed') ORDER BY VARIABLE_NAME",
        "SELECT CONCAT_WS(' ', VARIABLE_NAME, CAST(VARIABLE_VALUE AS CHAR)) AS value \
         FROM performance_schema.user_variables_by_thread JOIN performance_schema.threads USING (THREAD_ID) \
         WHERE PROCESSLIST_ID = CONNECTION_ID() AND VARIABLE_NAME NOT LIKE 'diesel_binds_%' \
         AND VARIABLE_VALUE IS NOT NULL ORDER BY 1",
        MARIADB.seen[2],
        MARIADB.seen[3],
        MARIADB.seen[4],
        MARIADB.seen[5],
    ],
    ..MARIADB
};

/// Returns the kind of the servers of MySQL's protocol.
fn mysql_or_mariadb() -> Kind {
    match MariadbA::is_mysql() {
        true => MYSQL,
        false => MARIADB,
    }
}

const SQLITE: Kind = Kind {
    setup: "PRAGMA busy_timeout = 10000; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY",
    leaving: &[
        "PRAGMA busy_timeout = 77",
        "PRAGMA query_only = ON",
        "PRAGMA recursive_triggers = ON",
        "PRAGMA ignore_check_constraints = ON",
        "PRAGMA cache_size = 77",
        "PRAGMA reverse_unordered_selects = ON",
        "PRAGMA case_sensitive_like = ON",
        "ATTACH ':memory:' AS left_over",
        "CREATE TEMPORARY TABLE left_over (id INTEGER)",
        "CREATE TEMPORARY TABLE notes (id INTEGER, text TEXT)",
        "CREATE TEMPORARY VIEW seen AS SELECT 1",
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA locking_mode = NORMAL",
    ],
    harmless: &["SELECT 1", "SELECT count(*) FROM notes"],
    seen: &[
        // A query on the temporary schema would open it, even if it is empty.
        "SELECT name || file AS value FROM pragma_database_list WHERE name <> 'temp'",
        "SELECT name AS value FROM sqlite_temp_master",
        "SELECT CAST(timeout AS TEXT) AS value FROM pragma_busy_timeout",
        "SELECT CAST(query_only AS TEXT) AS value FROM pragma_query_only",
        "SELECT CAST(recursive_triggers AS TEXT) AS value FROM pragma_recursive_triggers",
        "SELECT CAST(ignore_check_constraints AS TEXT) AS value FROM pragma_ignore_check_constraints",
        "SELECT CAST(cache_size AS TEXT) AS value FROM pragma_cache_size",
        "SELECT CAST(reverse_unordered_selects AS TEXT) AS value FROM pragma_reverse_unordered_selects",
        "SELECT CAST(foreign_keys AS TEXT) AS value FROM pragma_foreign_keys",
        "SELECT CAST(temp_store AS TEXT) AS value FROM pragma_temp_store",
        "SELECT locking_mode AS value FROM pragma_locking_mode",
        "SELECT CAST('a' LIKE 'A' AS TEXT) AS value",
    ],
};

/// Returns registries that share one pool, of the bind alone or with a partner, which makes it prepare or decide. A hook
/// of all runs the statement that it finds.
async fn registries<S, Partner, P>(
    pool: &P,
    hook: &Arc<Mutex<Option<&'static str>>>,
    seed: u64,
) -> [Binds; 4]
where
    S: Side,
    Partner: Side,
    P: Shared<Connection = <S::Bind as Bind>::Connection>,
{
    let partner = Partner::database().await;
    let registry = async |partner_url: Option<&str>, options: BindOptions| {
        let hook = Arc::clone(hook);
        let builder = Binds::builder().namespace(format!("left-{seed:x}"));
        let builder = builder.after_begin(S::bind(), move |connection| {
            let sql = hook.lock().unwrap().take();
            Box::pin(async move {
                match sql {
                    Some(sql) => connection.batch_execute(sql).await,
                    None => Ok(()),
                }
            })
        });
        let builder = pool.register::<S::Bind>(builder, options);
        let builder = match partner_url {
            Some(url) => {
                Partner::register(builder, url, PoolKind::Deadpool, 1, BindOptions::new()).await
            }
            None => builder,
        };
        builder.build().unwrap()
    };
    [
        registry(None, BindOptions::new()).await,
        registry(None, BindOptions::new().record_every_commit()).await,
        registry(Some(partner.url()), BindOptions::new()).await,
        registry(Some(partner.url()), BindOptions::new().never_prepare()).await,
    ]
}

/// Returns options of which each changes a setting of the connection on some backend.
fn random_options(random: &mut fastrand::Rng) -> SessionOptions {
    let options = SessionOptions::new();
    match random.usize(..12) {
        0 => options.isolation(Isolation::ReadCommitted),
        1 => options.isolation(Isolation::RepeatableRead),
        2 => options.isolation(Isolation::Serializable),
        3 => options.read_only(),
        4 => options
            .read_only()
            .isolation(Isolation::Serializable)
            .deferrable(),
        5 => options.statement_timeout(Duration::from_secs(9)),
        6 => options.lock_timeout(Duration::from_secs(8)),
        7 => options.deadline(Duration::from_secs(30)),
        _ => options,
    }
}

async fn every_connection_is_as_a_fresh_one<S, Partner, P>(kind: Kind, pool_kind: PoolKind)
where
    S: Side,
    Partner: Side,
    P: Shared<Connection = <S::Bind as Bind>::Connection>,
{
    let seed = std::env::var("DIESEL_BINDS_SEED")
        .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let database = S::database().await;
    let pool = P::open(database.url(), pool_kind, SIZE, kind.setup);
    let hook: Arc<Mutex<Option<&'static str>>> = Arc::default();
    let registries = registries::<S, Partner, P>(&pool, &hook, seed).await;
    // The first connection is inspected in the state in which its pool made it.
    let mut session = registries[0].session();
    S::read(&session).await.unwrap();
    session.rollback_all().await.unwrap();
    let (mut left, mut committed) = (0, [0; 4]);
    for unit in 0..UNITS {
        let registry = random.usize(..registries.len());
        let options = random_options(&mut random);
        let mut session = registries[registry].with(options).session();
        let mut done = Vec::new();
        for _ in 0..random.usize(1..4) {
            let sql = match random.bool() {
                true => kind.leaving[random.usize(..kind.leaving.len())],
                false => kind.harmless[random.usize(..kind.harmless.len())],
            };
            let how = random.usize(..7);
            done.push((how, sql));
            match how {
                0 => *hook.lock().unwrap() = Some(sql),
                1 => drop(S::write(&session, &format!("{unit}")).await),
                2 => drop(S::sql(&session, sql).await),
                3 => drop(DropPoint::Asked(1).cut(S::sql(&session, sql)).await),
                4 if registry >= 2 => drop(Partner::write(&session, &format!("{unit}")).await),
                5 => {
                    let in_savepoint = session
                        .savepoint::<_, Error, _>(async |session| S::sql(session, sql).await);
                    drop(in_savepoint.await);
                }
                _ => {
                    if let Ok(mut connection) = session.connection(S::bind()).await
                        && let Ok(raw) = connection.raw()
                    {
                        drop(raw.batch_execute(sql).await);
                    }
                }
            }
        }
        match random.usize(..3) {
            0 => committed[registry] += usize::from(session.commit_all().await.is_ok()),
            1 => drop(session.rollback_all().await),
            _ => drop(session),
        }
        left += done.len();
        if unit % ROUND == ROUND - 1 {
            let asked = pool
                .ask_all(database.url(), kind.setup, SIZE, kind.seen)
                .await;
            // A query that fails on every connection reveals nothing.
            let said = asked
                .1
                .iter()
                .filter(|row| !row.contains("SELECT") && !row.contains("EXECUTE"));
            assert!(said.count() > 5, "{:?}", asked.1);
            for of_pool in asked.0 {
                let differ: Vec<_> = of_pool
                    .iter()
                    .filter(|row| !asked.1.contains(row))
                    .collect();
                assert_eq!(
                    of_pool, asked.1,
                    "{differ:#?}, seed {seed}, unit {unit}, {done:?}"
                );
            }
        }
    }
    assert!(left > UNITS);
    println!("committed by registry: {committed:?}");
    assert!(committed.iter().all(|units| *units > 20), "{committed:?}");
}

macro_rules! mount {
    ($($name:ident: $side:ty, $partner:ty, $pool:ty, $kind:expr);+ $(;)?) => {
        $(mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn deadpool() {
                every_connection_is_as_a_fresh_one::<$side, $partner, $pool>($kind, PoolKind::Deadpool).await;
            }

            #[tokio::test]
            async fn bb8() {
                every_connection_is_as_a_fresh_one::<$side, $partner, $pool>($kind, PoolKind::Bb8).await;
            }
        })+
    };
}

mount!(
    postgres: PostgresA, Sqlite, OfPostgres, POSTGRES;
    mariadb: MariadbA, Sqlite, OfMariadb, mysql_or_mariadb();
    sqlite: Sqlite, PostgresA, OfSqlite, SQLITE;
);

/// Returns a query that identifies a connection.
fn identity<S: Side>() -> &'static str {
    match S::Bind::KEY {
        key if key.starts_with("pg") => "SELECT pg_backend_pid()::text AS text",
        key if key.starts_with("my") => "SELECT CAST(CONNECTION_ID() AS CHAR) AS text",
        // The number of rows that this connection has changed so far; no other connection changes any.
        _ => "SELECT CAST(total_changes() AS TEXT) AS text",
    }
}

/// Such a connection is checked and kept. On MySQL, it cannot be checked, and is closed.
async fn text_that_leaves_nothing_costs_no_connection<S: Side>(pool: PoolKind) {
    let database = S::database().await;
    let builder = S::register(
        Binds::builder(),
        database.url(),
        pool,
        1,
        BindOptions::new(),
    );
    let binds = builder.await.build().unwrap();
    let mut session = binds.session();
    S::write(&session, "one").await.unwrap();
    session.commit_all().await.unwrap();
    let mut before = S::text(&session, identity::<S>()).await.unwrap();
    session.rollback_all().await.unwrap();
    for _ in 0..5 {
        let mut session = binds.session();
        S::sql(&session, "SELECT count(*) FROM notes")
            .await
            .unwrap();
        let now = S::text(&session, identity::<S>()).await.unwrap();
        assert_eq!(now == before, !S::is_mysql(), "{before} {now}");
        before = now;
        session.commit_all().await.unwrap();
    }
}

/// An option keeps the session state that text leaves behind.
async fn session_state_is_kept_where_it_was_asked_for<S: Side>(pool: PoolKind) {
    let database = S::database().await;
    let options = BindOptions::new().keep_session_state();
    let builder = S::register(Binds::builder(), database.url(), pool, 1, options);
    let binds = builder.await.build().unwrap();
    let (set, get) = match S::Bind::KEY {
        key if key.starts_with("pg") => (
            "SET app.kept = 'kept'",
            "SELECT current_setting('app.kept') AS text",
        ),
        key if key.starts_with("my") => ("SET @kept = 'kept'", "SELECT @kept AS text"),
        _ => (
            "CREATE TEMPORARY TABLE kept (id INTEGER)",
            "SELECT name AS text FROM sqlite_temp_master",
        ),
    };
    let mut session = binds.session();
    S::sql(&session, set).await.unwrap();
    session.commit_all().await.unwrap();
    let mut session = binds.session();
    assert_eq!(S::text(&session, get).await.unwrap(), "kept");
    session.rollback_all().await.unwrap();
}

mod cost {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn deadpool() {
        text_that_leaves_nothing_costs_no_connection::<PostgresA>(PoolKind::Deadpool).await;
        text_that_leaves_nothing_costs_no_connection::<MariadbA>(PoolKind::Deadpool).await;
        text_that_leaves_nothing_costs_no_connection::<Sqlite>(PoolKind::Deadpool).await;
    }

    #[tokio::test]
    async fn bb8() {
        text_that_leaves_nothing_costs_no_connection::<PostgresA>(PoolKind::Bb8).await;
        text_that_leaves_nothing_costs_no_connection::<MariadbA>(PoolKind::Bb8).await;
        text_that_leaves_nothing_costs_no_connection::<Sqlite>(PoolKind::Bb8).await;
    }
}

mod kept {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn deadpool() {
        session_state_is_kept_where_it_was_asked_for::<PostgresA>(PoolKind::Deadpool).await;
        session_state_is_kept_where_it_was_asked_for::<MariadbA>(PoolKind::Deadpool).await;
        session_state_is_kept_where_it_was_asked_for::<Sqlite>(PoolKind::Deadpool).await;
    }

    #[tokio::test]
    async fn bb8() {
        session_state_is_kept_where_it_was_asked_for::<PostgresA>(PoolKind::Bb8).await;
        session_state_is_kept_where_it_was_asked_for::<MariadbA>(PoolKind::Bb8).await;
        session_state_is_kept_where_it_was_asked_for::<Sqlite>(PoolKind::Bb8).await;
    }
}

/// Pragmas that work on the file or the whole process, that list something, or that no statement can read.
const NO_SETTINGS: [&str; 19] = [
    "application_id",
    "case_sensitive_like",
    "data_version",
    "data_store_directory",
    "encoding",
    "foreign_key_check",
    "hard_heap_limit",
    "incremental_vacuum",
    "integrity_check",
    "module_list",
    "optimize",
    "pragma_list",
    "quick_check",
    "schema_version",
    "shrink_memory",
    "soft_heap_limit",
    "temp_store_directory",
    "user_version",
    "wal_checkpoint",
];

/// All settings of the linked SQLite library are tested.
#[tokio::test]
async fn no_setting_of_sqlite_is_left() {
    let database = Sqlite::database().await;
    let pool = OfSqlite::open(database.url(), PoolKind::Deadpool, 1, "");
    let mut names = pool
        .ask_all(
            database.url(),
            "",
            1,
            &["SELECT name AS value FROM pragma_pragma_list"],
        )
        .await
        .1;
    assert!(names.len() > 50, "{names:?}");
    names.retain(|name| !NO_SETTINGS.contains(&&**name));
    let seen: Vec<String> = names
        .iter()
        .map(|name| {
            format!("SELECT '{name}=' || CAST((SELECT * FROM pragma_{name}) AS TEXT) AS value")
        })
        .collect();
    let seen: Vec<&str> = seen.iter().map(String::as_str).collect();
    let binds = pool
        .register::<Sqlite>(Binds::builder(), BindOptions::new())
        .build()
        .unwrap();
    for name in &names {
        for value in ["0", "1", "2", "77"] {
            let mut session = binds.session();
            let _ = Sqlite::sql(&session, &format!("PRAGMA {name} = {value}")).await;
            drop(session.commit_all().await);
            let (pooled, fresh) = pool.ask_all(database.url(), "", 1, &seen).await;
            assert_eq!(pooled, [fresh], "{name} = {value}");
        }
    }
    // These two are no tables. A connection that has changed is closed, and a new one has changed no rows.
    for setting in ["wal_autocheckpoint = 77", "mmap_size = 65536"] {
        let mut session = binds.session();
        Sqlite::write(&session, setting).await.unwrap();
        let _ = Sqlite::sql(&session, &format!("PRAGMA {setting}")).await;
        session.commit_all().await.unwrap();
        let session = binds.session();
        let changed = Sqlite::text(&session, identity::<Sqlite>()).await.unwrap();
        assert_eq!(changed, "0", "{setting}");
    }
    binds.close().await;
}
