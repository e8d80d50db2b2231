//! Mounts the tests for every backend, and tests beside plain Diesel.

use diesel_async::{
    AsyncConnection as _, AsyncMigrationHarness, AsyncMysqlConnection, AsyncPgConnection,
};
use diesel_binds::migrations::MigrationProblem;
use diesel_binds::{AsyncSqliteConnection, Source};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};
use kit::database::Database;
use kit::proxy::{Fault, Proxy};
use kit::servers::Server;
use kit::source::Steps;

use crate::migrations::binds::{Accounts, Archive, Cache, Journal, Ledger, Orders};
use crate::migrations::database::{self, LATER, NAMES, USERS, two};
use crate::migrations::world::{on, owners, state, values, versions};

/// Mounts the tests of a backend. Diesel's harness exists only for concrete connections, so a generic is not possible.
macro_rules! mount {
    ($backend:ident, $bind:ident, $other:ident, $connection:ty, $database:expr, $own:literal) => {
        mod $backend {
            use super::*;

            #[tokio::test]
            async fn migrations_run_are_reported_listed_and_reverted() {
                let database = $database;
                database::migrations_run_are_reported_listed_and_reverted::<$bind>(database.url())
                    .await;
            }

            #[tokio::test]
            async fn a_failure_says_what_is_done_and_what_is_not() {
                let database = $database;
                database::a_failure_says_what_is_done_and_what_is_not::<$bind>(database.url())
                    .await;
            }

            #[tokio::test]
            async fn applied_migrations_that_the_program_lacks_are_drift() {
                let database = $database;
                database::applied_migrations_that_the_program_lacks_are_drift::<$bind>(
                    database.url(),
                )
                .await;
            }

            #[tokio::test]
            async fn the_migrations_of_another_bind_are_refused() {
                let database = $database;
                database::the_migrations_of_another_bind_are_refused::<$bind, $other>(
                    database.url(),
                )
                .await;
            }

            #[tokio::test]
            async fn a_lock_that_is_held_is_waited_for_and_not_forever() {
                let database = $database;
                database::a_lock_that_is_held_is_waited_for_and_not_forever::<$bind>(
                    database.url(),
                )
                .await;
            }

            /// Each side continues from the migrations that the other ran.
            #[tokio::test(flavor = "multi_thread")]
            async fn plain_diesel_and_this_go_on_from_each_other() {
                let database = $database;
                let url = database.url();
                let first = || Steps::new().table(USERS, "users");
                on::<$bind>(url, first()).migrations().run().await.unwrap();

                let connection = <$connection>::establish(url).await.unwrap();
                let mut diesel = AsyncMigrationHarness::new(connection);
                assert!(!diesel.has_pending_migration(first()).unwrap());
                assert_eq!(diesel.run_pending_migrations(two()).unwrap().len(), 1);

                // The bind of the second migration is not recorded; a run adds it.
                let binds = on::<$bind>(url, two().table(LATER, "later"));
                let before = state(&binds, <$bind as diesel_binds::Bind>::KEY).await;
                assert_eq!((before.applied.len(), before.pending.len()), (2, 1));
                assert!(!before.has_drifted());
                binds.migrations().run().await.unwrap();
                assert_eq!(owners(url).await.len(), 3);

                diesel
                    .revert_last_migration(two().table(LATER, "later"))
                    .unwrap();
                diesel.revert_last_migration(two()).unwrap();
                assert_eq!(
                    state(&binds, <$bind as diesel_binds::Bind>::KEY)
                        .await
                        .pending
                        .len(),
                    2
                );
                assert_eq!(binds.migrations().run().await.unwrap().done.len(), 2);
                assert_eq!(versions(url).await.len(), 3);
                binds.migrations().check().await.unwrap();
            }

            /// The migration with the tables of the protocol is a migration like any other.
            #[tokio::test]
            async fn the_tables_of_the_protocol_are_a_migration() {
                const OWN: EmbeddedMigrations = embed_migrations!($own);
                let database = $database;
                let binds = crate::migrations::world::builder()
                    .bind($bind, Source::url(database.url()))
                    .migrations($bind, OWN)
                    .build()
                    .unwrap();
                assert_eq!(binds.migrations().run().await.unwrap().done.len(), 1);
                binds.install().await.unwrap();
                let ids = "SELECT holder_id AS value FROM diesel_binds_meta";
                assert_eq!(values(database.url(), ids).await.len(), 1);
                binds.migrations().revert().await.unwrap();
            }
        }
    };
}

mount!(
    postgres,
    Accounts,
    Orders,
    AsyncPgConnection,
    Database::on(Server::PostgresA).await,
    "migrations/postgres"
);
mount!(
    mariadb,
    Ledger,
    Journal,
    AsyncMysqlConnection,
    Database::on(Server::MariadbA).await,
    "migrations/mysql"
);
mount!(
    sqlite,
    Cache,
    Archive,
    AsyncSqliteConnection,
    Database::sqlite(),
    "migrations/sqlite"
);

/// `CREATE INDEX CONCURRENTLY` runs in no transaction, and waits for every older statement. If another run waited in
/// the server for the lock, the index would wait forever.
#[tokio::test]
async fn a_migration_outside_of_a_transaction_does_not_wait_for_runs_that_wait() {
    let database = Database::on(Server::PostgresA).await;
    let steps = || {
        let mut steps = Steps::new().table(USERS, "users");
        for index in 0..5 {
            steps = steps.bare(
                &format!("2026-01-03-00000{index}_index"),
                format!("CREATE INDEX CONCURRENTLY index_{index} ON users (id)"),
                format!("DROP INDEX CONCURRENTLY index_{index}"),
            );
        }
        steps
    };
    let binds: Vec<_> = (0..4)
        .map(|_| on::<Accounts>(database.url(), steps()))
        .collect();
    let runs = binds
        .iter()
        .map(|binds| async { binds.migrations().run().await });
    let done: usize = futures_util::future::try_join_all(runs)
        .await
        .unwrap()
        .iter()
        .map(|migrated| migrated.done.len())
        .sum();
    assert_eq!(done, 6);
    assert_eq!(versions(database.url()).await.len(), 6);
    binds[0].migrations().revert_all().await.unwrap();
}

/// SQLite needs foreign keys off to rebuild a table, and turns them off only outside of a transaction.
#[tokio::test]
async fn a_table_of_sqlite_can_be_rebuilt() {
    let database = Database::sqlite();
    let rebuild = "PRAGMA foreign_keys = OFF; BEGIN; CREATE TABLE rebuilt (id INTEGER PRIMARY KEY, text TEXT); \
                   DROP TABLE users; ALTER TABLE rebuilt RENAME TO users; COMMIT; PRAGMA foreign_keys = ON";
    let steps = Steps::new().table(USERS, "users").bare(NAMES, rebuild, "");
    let binds = on::<Cache>(database.url(), steps);
    assert_eq!(binds.migrations().run().await.unwrap().done.len(), 2);
    assert_eq!(versions(database.url()).await.len(), 2);
}

/// A migration ends the connection that holds the lock, as an example of every cause. The next migration is not begun.
#[tokio::test]
async fn no_migration_begins_after_the_lock_was_lost() {
    let postgres = Database::on(Server::PostgresA).await;
    let mariadb = Database::on(Server::MariadbA).await;
    let in_postgres = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database = \
                       (SELECT oid FROM pg_database WHERE datname = current_database())";
    let in_mariadb = "SET @end = CONCAT('KILL ', \
                      IS_USED_LOCK(CONCAT('diesel_binds:migrate:', LEFT(SHA2(DATABASE(), 256), 32)))); \
                      PREPARE ending FROM @end; EXECUTE ending";
    let accounts = on::<Accounts>(
        postgres.url(),
        Steps::new()
            .step(USERS, in_postgres, "")
            .table(NAMES, "names"),
    );
    let ledger = on::<Ledger>(
        mariadb.url(),
        Steps::new()
            .step(USERS, in_mariadb, "")
            .table(NAMES, "names"),
    );
    for (binds, url) in [(accounts, postgres.url()), (ledger, mariadb.url())] {
        let error = binds.migrations().run().await.unwrap_err();
        assert!(
            matches!(error.problem(), MigrationProblem::LockLost { .. }),
            "{error:?}"
        );
        assert_eq!((error.done().len(), error.left().len()), (1, 1));
        assert_eq!(versions(url).await.len(), 1);
        assert_eq!(binds.migrations().run().await.unwrap().done.len(), 1);
    }
}

/// The connection of the lock falls silent while a migration runs. The migration ends, and the next one is not begun.
#[tokio::test]
async fn a_lock_without_an_answer_counts_as_lost() {
    let database = Database::on(Server::PostgresA).await;
    let proxy = Proxy::start(database.url()).await;
    let steps = Steps::new().step(USERS, "SELECT pg_sleep(7)", "");
    let binds = on::<Accounts>(&proxy.url(database.url()), steps.table(NAMES, "names"));
    // The first question is that before the first migration.
    let second = Fault::before("SAVEPOINT diesel_binds_lock").occurrence(2);
    proxy.inject(second.stalling());
    let error = binds.migrations().run().await.unwrap_err();
    assert_eq!(proxy.fired(), 1);
    assert!(
        matches!(error.problem(), MigrationProblem::LockLost { .. }),
        "{error:?}"
    );
    assert_eq!((error.done().len(), error.left().len()), (1, 1));
}
