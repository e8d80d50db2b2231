//! The places of binds: in one database, attached, in memory.

use diesel_binds::build::FromUrl;
use diesel_binds::migrations::{Migratable, MigrationMistake, MigrationProblem};
use diesel_binds::{Bind, Source};
use kit::database::Database;
use kit::servers::Server;
use kit::source::Steps;

use crate::migrations::binds::{Accounts, Archive, Cache, Journal, Ledger, Orders};
use crate::migrations::database::two;
use crate::migrations::world::{builder, names, owners, values, versions};

const ENTRIES: &str = "2026-02-02-000000_entries";

/// Asserts that two binds with accidentally the same URL run nothing, in either order.
async fn one_database_for_two<B, Other>(url: &str)
where
    B: Bind<Connection: FromUrl + Migratable> + Default,
    Other: Bind<Connection: FromUrl + Migratable> + Default,
{
    let with = |steps: Steps| {
        builder()
            .bind(B::default(), Source::url(url))
            .bind(Other::default(), Source::url(url))
            .migrations(B::default(), two())
            .migrations(Other::default(), steps)
            .build()
            .unwrap()
    };
    let apart = with(Steps::new().table(ENTRIES, "entries"));
    let refused = apart.migrations().run().await.unwrap_err();
    assert!(
        matches!(refused.problem(), MigrationProblem::SameDatabase { .. }),
        "{refused:?}"
    );
    assert!(
        refused.to_string().contains("Source::shared_with"),
        "{refused}"
    );

    let same = with(Steps::new().table("2026-01-03-000000_entries", "entries"));
    let refused = same.migrations().run().await.unwrap_err();
    assert!(
        matches!(refused.problem(), MigrationProblem::VersionCollision { .. }),
        "{refused:?}"
    );
    let report = same.migrations().report().await;
    let nothing = report.binds.iter().all(|bind| {
        let state = bind.state.as_ref().unwrap();
        state.applied.is_empty() && !state.pending.is_empty()
    });
    assert!(nothing, "{report}");
}

#[tokio::test]
async fn two_binds_are_in_one_database_only_if_they_say_so() {
    let postgres = Database::on(Server::PostgresA).await;
    one_database_for_two::<Accounts, Orders>(postgres.url()).await;
    let mariadb = Database::on(Server::MariadbA).await;
    one_database_for_two::<Ledger, Journal>(mariadb.url()).await;
    let sqlite = Database::sqlite();
    one_database_for_two::<Cache, Archive>(sqlite.url()).await;
}

/// Two databases of one server are not taken for one.
#[tokio::test]
async fn two_databases_of_one_server_are_two() {
    let postgres = [
        Database::on(Server::PostgresA).await,
        Database::on(Server::PostgresA).await,
    ];
    let mariadb = [
        Database::on(Server::MariadbA).await,
        Database::on(Server::MariadbA).await,
    ];
    let binds = builder()
        .bind(Accounts, Source::url(postgres[0].url()))
        .bind(Orders, Source::url(postgres[1].url()))
        .bind(Ledger, Source::url(mariadb[0].url()))
        .bind(Journal, Source::url(mariadb[1].url()))
        .migrations(Accounts, two())
        .migrations(Orders, two())
        .migrations(Ledger, two())
        .migrations(Journal, two())
        .build()
        .unwrap();
    assert_eq!(binds.migrations().run().await.unwrap().done.len(), 8);
}

#[tokio::test]
async fn binds_that_share_a_database_have_their_own_migrations_in_it() {
    let database = Database::on(Server::PostgresA).await;
    let with = |steps: Steps| {
        builder()
            .bind(Accounts, Source::url(database.url()))
            .bind(Orders, Source::shared_with(Accounts))
            .migrations(Accounts, two())
            .migrations(Orders, steps)
            .build()
    };
    let collision = with(Steps::new().table("2026-01-03-000000_entries", "entries")).unwrap_err();
    assert!(
        collision
            .to_string()
            .contains("has the version of a migration of `accounts`")
    );
    assert!(matches!(
        collision.problems(),
        [diesel_binds::build::BuildProblem::Migrations {
            mistake: MigrationMistake::VersionCollision { .. },
            ..
        }]
    ));

    let binds = with(Steps::new().table(ENTRIES, "entries")).unwrap();
    binds.migrations().run().await.unwrap();
    binds.migrations().check().await.unwrap();
    assert_eq!(versions(database.url()).await.len(), 3);
    let reverted = binds.migrations().of(Accounts).revert().await.unwrap();
    assert_eq!(names(&reverted.done), ["accounts/2026-01-03-000000_names"]);
    let reverted = binds.migrations().of(Orders).revert().await.unwrap();
    assert_eq!(names(&reverted.done), [format!("orders/{ENTRIES}")]);
}

/// Every folder has Diesel's setup for PostgreSQL and the tables of the commit protocol. Both belong to no bind.
#[tokio::test]
async fn migrations_that_are_the_same_in_every_folder_run_once() {
    let database = Database::on(Server::PostgresA).await;
    let common = |steps: Steps| {
        steps
            .step("00000000000000_diesel_initial_setup", "SELECT 1", "")
            .table("2026-01-01-000000_diesel_binds", "protocol")
    };
    let binds = builder()
        .bind(Accounts, Source::url(database.url()))
        .bind(Orders, Source::shared_with(Accounts))
        .migrations(Accounts, common(two()))
        .migrations(Orders, common(Steps::new().table(ENTRIES, "entries")))
        .build()
        .unwrap();
    let run = binds.migrations().run().await.unwrap();
    assert_eq!(run.done.len(), 5, "{run}");
    binds.migrations().check().await.unwrap();
    assert_eq!(owners(database.url()).await[0], "00000000000000 accounts");
    let reverted = binds.migrations().revert_all().await.unwrap();
    assert_eq!(reverted.done.len(), 3, "{reverted}");
    let reverted = binds.migrations().revert().await.unwrap();
    assert_eq!(
        names(&reverted.done),
        ["orders/2026-01-01-000000_diesel_binds"]
    );
}

#[tokio::test]
async fn an_attached_file_has_migrations_of_its_own() {
    let (cache, archive) = (Database::sqlite(), Database::sqlite());
    let binds = builder()
        .bind(Cache, Source::url(cache.url()))
        .bind(Archive, Source::url(archive.url()).attach_to(Cache))
        .migrations(Cache, two())
        // The version is the same, but there is no collision: the file is another one.
        .migrations(
            Archive,
            Steps::new().table("2026-01-03-000000_pages", "pages"),
        )
        .build()
        .unwrap();
    binds.migrations().run().await.unwrap();
    assert_eq!(versions(cache.url()).await.len(), 2);
    assert_eq!(versions(archive.url()).await.len(), 1);
    let tables = "SELECT name AS value FROM sqlite_master WHERE name = 'pages'";
    assert_eq!(values(archive.url(), tables).await.len(), 1);
    assert!(values(cache.url(), tables).await.is_empty());
}

#[tokio::test]
async fn a_database_in_memory_is_refused() {
    let binds = builder()
        .bind(Cache, Source::url("file:places?mode=memory&cache=shared"))
        .migrations(Cache, two())
        .build()
        .unwrap();
    let refused = binds.migrations().run().await.unwrap_err();
    assert!(
        matches!(
            refused.problem(),
            MigrationProblem::InMemory { bind: "cache" }
        ),
        "{refused:?}"
    );
}
