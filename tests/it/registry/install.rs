//! The tables of the protocol, created by `install()` or by the migrations, at any time and by several processes at
//! once.

use diesel::prelude::*;
use diesel_async::{
    AsyncConnection as _, AsyncMigrationHarness, AsyncMysqlConnection, AsyncPgConnection,
    SimpleAsyncConnection as _,
};
use diesel_binds::build::FromUrl;
use diesel_binds::{AsyncSqliteConnection, Bind, Binds, Source};
use diesel_migrations::{FileBasedMigrations, MigrationHarness as _};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use kit::database::Database;
use kit::servers::{self, Server};

use crate::registry::binds::{Accounts, Cache, Ledger};

diesel::table! {
    diesel_binds_meta (one) {
        one -> Integer,
        holder_id -> Text,
        version -> Integer,
    }
}

fn binds<B: Bind<Connection: FromUrl> + Default>(database: &Database) -> Binds {
    Binds::builder()
        .bind(B::default(), Source::url(database.url()))
        .build()
        .unwrap()
}

fn migration(backend: &str) -> String {
    let folder = servers::workspace().join("migrations").join(backend);
    let mut migrations = std::fs::read_dir(folder).unwrap();
    let first = migrations.next().expect("there is a migration").unwrap();
    std::fs::read_to_string(first.path().join("up.sql")).unwrap()
}

/// Mounts the tests of one connection type. Diesel's traits are known only for concrete types.
macro_rules! install {
    ($module:ident, $bind:ident, $connection:ty, $database:expr, $folder:literal) => {
        mod $module {
            use super::*;

            async fn connection(database: &Database) -> $connection {
                <$connection>::establish(database.url()).await.unwrap()
            }

            /// Returns the id of the database. Asserts that there is exactly one.
            async fn id(database: &Database) -> String {
                let rows: Vec<(String, i32)> = diesel_async::RunQueryDsl::load(
                    diesel_binds_meta::table
                        .select((diesel_binds_meta::holder_id, diesel_binds_meta::version)),
                    &mut connection(database).await,
                )
                .await
                .unwrap();
                let [(id, 2)] = rows.as_slice() else {
                    panic!("{rows:?}");
                };
                assert_eq!(id.len(), 32);
                id.clone()
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn several_may_install_at_once_and_again() {
                let database = $database;
                let all: Vec<Binds> = (0..6).map(|_| binds::<$bind>(&database)).collect();
                for installed in join_all(all.iter().map(Binds::install)).await {
                    installed.unwrap();
                }
                let first = id(&database).await;
                all[0].install().await.unwrap();
                assert_eq!(id(&database).await, first);
            }

            #[tokio::test]
            async fn a_migration_run_by_hand_is_enough_and_may_be_run_again() {
                let database = $database;
                let mut connection = connection(&database).await;
                connection.batch_execute(&migration($folder)).await.unwrap();
                let first = id(&database).await;
                binds::<$bind>(&database).install().await.unwrap();
                connection.batch_execute(&migration($folder)).await.unwrap();
                assert_eq!(id(&database).await, first);
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn the_migrations_of_diesel_go_up_and_down() {
                let database = $database;
                let folder = servers::workspace().join("migrations").join($folder);
                let migrations = || FileBasedMigrations::from_path(&folder).unwrap();
                let mut harness = AsyncMigrationHarness::new(connection(&database).await);
                assert_eq!(
                    harness.run_pending_migrations(migrations()).unwrap().len(),
                    1
                );
                let first = id(&database).await;
                binds::<$bind>(&database).install().await.unwrap();
                assert_eq!(id(&database).await, first);
                harness.revert_all_migrations(migrations()).unwrap();
                let gone: QueryResult<i64> = diesel_async::RunQueryDsl::get_result(
                    diesel_binds_meta::table.count(),
                    &mut connection(&database).await,
                )
                .await;
                assert!(gone.is_err());

                // The tables that `install` created do not disturb the migration.
                binds::<$bind>(&database).install().await.unwrap();
                harness.run_pending_migrations(migrations()).unwrap();
                id(&database).await;
            }
        }
    };
}

install!(
    postgres,
    Accounts,
    AsyncPgConnection,
    Database::on(Server::PostgresA).await,
    "postgres"
);
install!(
    mariadb,
    Ledger,
    AsyncMysqlConnection,
    Database::on(Server::MariadbA).await,
    "mysql"
);
install!(
    sqlite,
    Cache,
    AsyncSqliteConnection,
    Database::sqlite(),
    "sqlite"
);

/// Connections that an application opens itself do not wait for each other's locks, unless they are set up to.
#[tokio::test(flavor = "multi_thread")]
async fn several_may_install_at_once_on_connections_that_do_not_wait() {
    let database = Database::sqlite();
    let all: Vec<Binds> = (0..6)
        .map(|_| {
            Binds::builder()
                .bind(
                    Cache,
                    Source::url(database.url())
                        .setup(|path| AsyncSqliteConnection::establish(path).boxed()),
                )
                .build()
                .unwrap()
        })
        .collect();
    for installed in join_all(all.iter().map(Binds::install)).await {
        installed.unwrap();
    }
}
