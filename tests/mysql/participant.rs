//! MySQL as a participant that prepares: what recovery finds and finishes with the rights of the application, and what
//! keeps a bind from preparing.

use std::time::Duration;

use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig};
use diesel_async::{AsyncConnection as _, AsyncMysqlConnection, SimpleAsyncConnection as _};
use diesel_binds::check::{Finding, Severity};
use diesel_binds::error::Fault;
use diesel_binds::recovery::Outcome;
use diesel_binds::testing::{Effect, FaultPlan};
use diesel_binds::{Binds, CommitError, Error, Gid, RecoveryOptions, SessionOptions, Source};
use futures_util::FutureExt as _;
use kit::admin::Admin;
use kit::database::Database;
use kit::look::Look;
use kit::own_server::OwnServer;
use kit::prepared::prepared;
use kit::servers::Server;
use kit::side::{MysqlA, PoolKind, PostgresA, Side, Sqlite};
use kit::world::{Sides, World};

/// Returns binds over new databases, with the rights of an application on MySQL.
async fn as_app<S: Sides>() -> World {
    let databases = S::databases().await;
    let urls: Vec<String> = databases
        .iter()
        .map(|database| match database.url().starts_with("mysql") {
            true => database.app_url(),
            false => database.url().to_owned(),
        })
        .collect();
    let builder = World::builder::<S>();
    // The list of a server has the branches of all tests.
    let namespace = format!(
        "mysql-{}",
        databases[0].name().unwrap().replace("test_", "")
    );
    let builder = builder.binds(|binds| binds.namespace(namespace.replace('_', "-")));
    World {
        binds: builder.connect(&urls).await,
        databases,
    }
}

/// Leaves a unit whose process died at a point. Recovery must find the same branches as the server lists to its
/// administrator, and finish them as the holder says.
async fn recovers<S: Sides>(mysql_prepares: bool) {
    for (point, outcome) in [
        ("decide:before", Outcome::RolledBack),
        ("decide:after", Outcome::Committed),
    ] {
        let world = as_app::<S>().await;
        let plan = FaultPlan::new().at(point, Effect::Crash);
        let session = SessionOptions::new().faults(&plan);
        let mut session = world.binds.with(session).session();
        let unit = session.unit();
        S::write(&session, "left").await.unwrap();
        let error = session.commit_all().await.unwrap_err();
        assert!(
            matches!(error, CommitError::Interrupted { .. }),
            "{error:?}"
        );
        drop(session);

        let url = world.databases[0].url();
        assert_eq!(prepared(url, unit).await.len(), usize::from(mysql_prepares));
        let looked = world.binds.recovery().in_doubt().await;
        assert_eq!(looked.in_doubt.len(), 1, "{looked}");
        assert_eq!(
            looked.in_doubt[0].gid.as_ref().map(|gid| gid.unit()),
            Some(unit)
        );

        let pass = world.binds.recovery().run_older_than(Duration::ZERO).await;
        assert!(pass.is_complete(), "{pass}");
        assert_eq!(pass.recovered.len(), 1, "{pass}");
        assert_eq!(pass.recovered[0].outcome, outcome);
        assert!(prepared(url, unit).await.is_empty());
        let kept: &[&str] = match outcome {
            Outcome::Committed => &["left"],
            Outcome::RolledBack => &[],
        };
        for rows in S::rows(&world).await {
            assert_eq!(rows, kept, "{point}");
        }
        assert!(Look::at(&world.databases[0]).await.open().await.is_empty());
        // The row of a branch that is committed goes as well.
        let again = world.binds.recovery().run_older_than(Duration::ZERO).await;
        assert!(again.is_complete() && again.recovered.is_empty(), "{again}");
    }
}

#[tokio::test]
async fn a_branch_is_found_and_finished_with_the_rights_of_the_application() {
    recovers::<(MysqlA, Sqlite)>(true).await;
}

#[tokio::test]
async fn a_holder_answers_and_fences_with_the_rights_of_the_application() {
    recovers::<(MysqlA, PostgresA)>(false).await;
}

/// A role that cannot see the rows of branches must not take the branches for finished.
#[tokio::test]
async fn a_role_that_may_not_read_the_rows_of_branches_says_so() {
    let world = as_app::<(MysqlA, Sqlite)>().await;
    let plan = FaultPlan::new().at("decide:after", Effect::Crash);
    let options = SessionOptions::new().faults(&plan);
    let mut session = world.binds.with(options).session();
    MysqlA::write(&session, "left").await.unwrap();
    Sqlite::write(&session, "left").await.unwrap();
    session.commit_all().await.unwrap_err();
    drop(session);

    let [database, file] = world.databases.as_slice() else {
        panic!("two databases");
    };
    let name = database.name().unwrap();
    let role = name.replace("test_", "blind_");
    let mut admin = Admin::connect(database.url()).await;
    let create = format!("CREATE USER {role}@'127.0.0.1' IDENTIFIED BY 'app-secret'");
    admin.run(&create).await.unwrap();
    for table in ["meta", "decision", "horizon"] {
        let grant = format!("GRANT SELECT ON {name}.diesel_binds_{table} TO {role}@'127.0.0.1'");
        admin.run(&grant).await.unwrap();
    }
    let url = database.app_url().replace("//app:", &format!("//{role}:"));
    let namespace = format!("mysql-{}", name.replace("test_", "")).replace('_', "-");
    let blind = World::builder::<(MysqlA, Sqlite)>()
        .binds(|binds| binds.namespace(namespace))
        .connect(&[url, file.url().to_owned()])
        .await;
    let looked = blind.recovery().in_doubt().await;
    assert!(!looked.is_complete(), "{looked}");
    let said = format!("{looked:?}");
    assert!(said.contains("diesel_binds_branch"), "{said}");

    let pass = world.binds.recovery().run_older_than(Duration::ZERO).await;
    assert!(pass.is_complete(), "{pass}");
    assert_eq!(pass.recovered.len(), 1, "{pass}");
    let drop = format!("DROP USER {role}@'127.0.0.1'");
    admin.run(&drop).await.unwrap();
}

#[tokio::test]
async fn check_and_install_need_no_further_rights() {
    let (database, file) = (Database::on(Server::MysqlA).await, Sqlite::database().await);
    let binds = Binds::builder()
        .namespace("mysql-check")
        .recovery(RecoveryOptions::new().without_worker())
        .bind(MysqlA, Source::url(database.app_url()))
        .bind(Sqlite, Source::url(file.url()))
        .build()
        .unwrap();
    binds.install().await.unwrap();
    binds.install().await.unwrap();
    let report = binds.check().await;
    let findings = &report.bind("mysql-a").unwrap().findings;
    assert!(
        matches!(findings.as_slice(), [Finding::CanPrepare]),
        "{findings:?}"
    );
    assert_eq!(report.severity(), Severity::Info, "{report}");
}

/// A branch of such a session would belong to its connection, and could be lost when that closes. The server itself would
/// let other sessions prepare.
#[tokio::test]
async fn a_pool_whose_sessions_attach_their_branches_prepares_nothing() {
    let (mysql, file) = (MysqlA::database().await, Sqlite::database().await);
    let mut config = ManagerConfig::default();
    config.custom_setup = Box::new(|url| {
        async move {
            let mut connection = AsyncMysqlConnection::establish(url).await?;
            let attached = "SET SESSION xa_detach_on_prepare = OFF";
            connection
                .batch_execute(attached)
                .await
                .expect("the administrator may set it");
            Ok(connection)
        }
        .boxed()
    });
    let manager = AsyncDieselConnectionManager::new_with_config(mysql.url(), config);
    let pool = Pool::builder(manager).max_size(2).build().unwrap();
    let binds = Binds::builder()
        .namespace("mysql-attached")
        .recovery(RecoveryOptions::new().without_worker())
        .bind(MysqlA, Source::pool(pool))
        .bind(Sqlite, Source::url(file.url()))
        .build()
        .unwrap();
    for _ in 0..3 {
        let mut session = binds.session();
        Sqlite::write(&session, "gone").await.unwrap();
        let refused = MysqlA::write(&session, "gone").await;
        Changing::assert_refused(refused.map(drop));
        session.rollback_all().await.unwrap();
    }
    // Alone, the bind prepares nothing.
    let mut session = binds.session();
    MysqlA::write(&session, "kept").await.unwrap();
    session.commit_all().await.unwrap();
    assert_eq!(MysqlA::rows(&mysql).await, ["kept"]);
}

#[tokio::test]
async fn a_changed_table_without_transactions_keeps_the_unit_from_committing() {
    let world = World::of::<(MysqlA, Sqlite)>(PoolKind::Deadpool).await;
    let table = "CREATE TABLE plain (n INTEGER) ENGINE = MyISAM";
    MysqlA::admin(&world.databases[0], table).await;
    let mut session = world.binds.session();
    MysqlA::sql(&session, "INSERT INTO plain VALUES (1)")
        .await
        .unwrap();
    MysqlA::write(&session, "gone").await.unwrap();
    Sqlite::write(&session, "gone").await.unwrap();
    let error = session.commit_all().await.unwrap_err();
    assert!(
        matches!(
            &error,
            CommitError::TransactionEnded {
                bind: "mysql-a",
                source: Fault::NonTransactional(_),
                ..
            }
        ),
        "{error:?}"
    );
    for rows in <(MysqlA, Sqlite)>::rows(&world).await {
        assert!(rows.is_empty());
    }
}

/// The server counts the rows of its own temporary tables as well: then a reader decides or prepares, which is safe.
#[tokio::test]
async fn a_plain_query_beside_a_writer_needs_no_decision() {
    let world = World::of::<(MysqlA, PostgresA)>(PoolKind::Deadpool).await;
    let mut session = world.binds.session();
    PostgresA::write(&session, "kept").await.unwrap();
    assert!(MysqlA::read(&session).await.unwrap().is_empty());
    let committed = session.commit_all().await.unwrap();
    assert_eq!(committed.gid(), None);

    let function = "CREATE FUNCTION note(t VARCHAR(200)) RETURNS INTEGER DETERMINISTIC MODIFIES SQL DATA \
                    BEGIN INSERT INTO notes (text) VALUES (t); RETURN 1; END";
    MysqlA::admin(&world.databases[0], function).await;
    let mut session = world.binds.session();
    PostgresA::write(&session, "both").await.unwrap();
    MysqlA::read_sql(&session, "SELECT note('both')")
        .await
        .unwrap();
    let committed = session.commit_all().await.unwrap();
    assert!(committed.gid().is_some(), "the function wrote");
    assert_eq!(MysqlA::rows(&world.databases[0]).await, ["both"]);
}

/// Binds on a server of the test, whose setting it changes.
struct Changing {
    binds: Binds,
    server: OwnServer,
    _others: [Database; 2],
}

impl Changing {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = OwnServer::like(Server::MysqlA, folder, &[]).await;
        let mut admin = server.admin("mysql").await;
        admin.run("CREATE DATABASE shop").await.unwrap();
        let notes =
            "CREATE TABLE shop.notes (id INTEGER AUTO_INCREMENT PRIMARY KEY, text VARCHAR(200))";
        admin.run(notes).await.unwrap();
        let others = [PostgresA::database().await, Sqlite::database().await];
        let binds = Binds::builder()
            .namespace("mysql-changing")
            .recovery(RecoveryOptions::new().without_worker())
            .bind(
                MysqlA,
                Source::url(server.url("root", "shop", "prefer_socket=false")),
            )
            .bind(PostgresA, Source::url(others[0].url()))
            .bind(Sqlite, Source::url(others[1].url()))
            .build()
            .unwrap();
        binds.install().await.unwrap();
        Self {
            binds,
            server,
            _others: others,
        }
    }

    /// Sets whether branches of sessions that begin from now on belong to no connection.
    async fn set(&self, detaches: bool) {
        let set = format!("SET GLOBAL xa_detach_on_prepare = {}", u8::from(detaches));
        self.server.admin("mysql").await.run(&set).await.unwrap();
    }

    /// Commits a unit that writes to MySQL and to SQLite, so that MySQL has to prepare.
    async fn prepares(&self) -> Result<(), Error> {
        let mut session = self.binds.session();
        Sqlite::write(&session, &session.unit().to_string()).await?;
        MysqlA::write(&session, "note").await?;
        session.commit_all().await?;
        Ok(())
    }

    /// Commits a unit that MySQL holds the decision of.
    async fn holds(&self) {
        let mut session = self.binds.session();
        MysqlA::write(&session, "note").await.unwrap();
        PostgresA::write(&session, &session.unit().to_string())
            .await
            .unwrap();
        let committed = session.commit_all().await.unwrap();
        assert_eq!(committed.gid().map(Gid::holder), Some("mysql-a"));
    }

    #[track_caller]
    fn assert_refused(result: Result<(), Error>) {
        assert!(
            matches!(&result, Err(Error::NotAtomic { reason, .. }) if reason.contains("xa_detach_on_prepare")),
            "{result:?}"
        );
    }
}

#[tokio::test]
async fn a_bind_whose_server_stops_detaching_branches_becomes_the_holder() {
    let changing = Changing::start().await;
    changing.prepares().await.unwrap();
    changing.set(false).await;
    // The only connection keeps the setting that it began with, so another one is needed.
    let before = changing.binds.session();
    MysqlA::read(&before).await.unwrap();
    let refused = changing.prepares().await;
    let Err(Error::Commit(CommitError::RolledBack {
        source: Fault::Refused(refusal),
        ..
    })) = &refused
    else {
        panic!("{refused:?}");
    };
    assert!(
        refusal.to_string().contains("xa_detach_on_prepare"),
        "{refused:?}"
    );
    drop(before);

    Changing::assert_refused(changing.prepares().await);
    changing.holds().await;
}

#[tokio::test]
async fn a_check_notices_that_a_server_detaches_branches_or_not() {
    let changing = Changing::start().await;
    changing.prepares().await.unwrap();
    for _ in 0..2 {
        changing.set(false).await;
        changing.binds.check().await;
        Changing::assert_refused(changing.prepares().await);
        changing.holds().await;
        // A connection that is in use meanwhile does not come back.
        let before = changing.binds.session();
        MysqlA::read(&before).await.unwrap();
        changing.set(true).await;
        changing.binds.check().await;
        drop(before);
        changing.prepares().await.unwrap();
    }
}
