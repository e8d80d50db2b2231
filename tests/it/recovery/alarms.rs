//! Recovery does not touch a branch that it may not finish, and reports the reason.

use std::time::Duration;

use diesel_binds::recovery::InDoubtReason;
use diesel_binds::{BindOptions, Binds, Gid, RecoveryOptions};
use kit::application::{Application, Three};
use kit::side::{PoolKind, PostgresA, Side};
use kit::world::Sides;

/// Prepares a branch on PostgreSQL, as a process leaves it that crashes between two steps of a commit.
async fn prepare_postgres(application: &Application, gid: &Gid) {
    let prepare = format!(
        "BEGIN; INSERT INTO notes (text) VALUES ('{}'); PREPARE TRANSACTION '{gid}:pg-a:1'",
        gid.unit()
    );
    PostgresA::admin(application.postgres(), &prepare).await;
}

/// Returns the reason why the only branch in doubt was left. Asserts that the branch is still prepared, and rolls it
/// back.
async fn left(application: &Application, binds: &Binds, gid: &Gid) -> InDoubtReason {
    let pass = binds.recovery().run_older_than(Duration::ZERO).await;
    assert!(pass.recovered.is_empty(), "{pass}");
    assert_eq!(pass.in_doubt.len(), 1, "{pass}");
    assert!(application.is_prepared(gid).await);
    application.roll_back(gid).await;
    let mut in_doubt = pass.in_doubt;
    in_doubt.remove(0).reason
}

#[tokio::test]
async fn a_branch_of_another_role_is_left_alone() {
    let application = Application::new().await;
    let role = application.namespace.replace('-', "_");
    let grants =
        format!("CREATE ROLE {role} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}");
    PostgresA::admin(application.postgres(), &grants).await;
    let mut urls = application.urls();
    urls[0] = urls[0].replacen("postgres@", &format!("{role}@"), 1);
    let builder = Binds::builder()
        .namespace(&application.namespace)
        .recovery(RecoveryOptions::new().without_worker());
    let builder = Three::register(builder, &urls, PoolKind::Deadpool, &BindOptions::new()).await;
    let binds = builder.build().unwrap();
    let gid = application
        .gid_of_new_unit(&application.namespace, "lite")
        .await;
    prepare_postgres(&application, &gid).await;
    let left = left(&application, &binds, &gid).await;
    let drop_role = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    PostgresA::admin(application.postgres(), &drop_role).await;
    assert!(matches!(left, InDoubtReason::OtherRole(owner) if owner == "postgres"));
}

#[tokio::test]
async fn a_branch_in_another_database_of_the_server_is_left_alone() {
    let application = Application::new().await;
    let gid = application
        .gid_of_new_unit(&application.namespace, "lite")
        .await;
    prepare_postgres(&application, &gid).await;
    let mut urls = application.urls();
    let other = PostgresA::database().await;
    other.url().clone_into(&mut urls[0]);
    let builder = Binds::builder()
        .namespace(&application.namespace)
        .recovery(RecoveryOptions::new().without_worker());
    let builder = Three::register(builder, &urls, PoolKind::Deadpool, &BindOptions::new()).await;
    let left = left(&application, &builder.build().unwrap(), &gid).await;
    let name = application.postgres().name().unwrap();
    assert!(matches!(left, InDoubtReason::OtherDatabase(found) if found == name));
}

#[tokio::test]
async fn a_branch_of_another_application_is_left_alone_and_told_when_it_is_old() {
    let application = Application::new().await;
    let theirs = format!("{}-x", application.namespace);
    let binds = application.process().await;
    for (seconds, is_reported) in [(30, false), (61, true)] {
        let gid = application.gid_of_new_unit(&theirs, "lite").await;
        let admin = application.prepare_on_mariadb(&gid, true, seconds).await;
        let pass = binds.recovery().run_older_than(Duration::ZERO).await;
        let of_theirs = |left: &InDoubtReason| matches!(left, InDoubtReason::ForeignNamespace(name) if *name == theirs);
        assert_eq!(pass.in_doubt.len(), usize::from(is_reported), "{pass}");
        assert!(pass.in_doubt.iter().all(|branch| of_theirs(&branch.reason)));
        assert!(pass.recovered.is_empty(), "{pass}");
        assert!(application.is_prepared(&gid).await);
        drop(admin);
        application.roll_back(&gid).await;
    }
}

#[tokio::test]
async fn a_branch_without_its_row_is_left_alone() {
    let application = Application::new().await;
    let gid = application
        .gid_of_new_unit(&application.namespace, "lite")
        .await;
    drop(application.prepare_on_mariadb(&gid, false, 0).await);
    if application.mariadb().is_mysql() {
        // It lists a branch by its row.
        let process = application.process().await;
        let pass = process.recovery().run_older_than(Duration::ZERO).await;
        assert!(
            pass.in_doubt.is_empty() && pass.recovered.is_empty(),
            "{pass}"
        );
        assert!(application.is_prepared(&gid).await);
        return application.roll_back(&gid).await;
    }
    let left = left(&application, &application.process().await, &gid).await;
    assert!(matches!(left, InDoubtReason::HolderNotNamed), "{left}");
}

#[tokio::test]
async fn a_branch_whose_holder_was_replaced_is_left_alone() {
    let application = Application::new().await;
    let binds = application.process().await;
    let gid = application
        .gid_of_new_unit(&application.namespace, "lite")
        .await;
    let replaced = format!(
        "{}{}",
        &gid.to_string()[..gid.to_string().len() - 32],
        "0".repeat(32)
    );
    let gid: Gid = replaced.parse().unwrap();
    prepare_postgres(&application, &gid).await;
    assert!(binds.recovery().resolve(&gid).await.is_err());
    let left = left(&application, &binds, &gid).await;
    assert!(matches!(left, InDoubtReason::ReplacedHolder), "{left}");
}

#[tokio::test]
async fn a_branch_whose_holder_is_no_bind_is_left_alone() {
    let application = Application::new().await;
    let binds = application.process().await;
    let gid = application
        .gid_of_new_unit(&application.namespace, "elsewhere")
        .await;
    prepare_postgres(&application, &gid).await;
    assert!(binds.recovery().resolve(&gid).await.is_err());
    let left = left(&application, &binds, &gid).await;
    assert!(matches!(left, InDoubtReason::UnknownHolder), "{left}");
}
