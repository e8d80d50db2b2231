//! What recovery may not touch it leaves alone, and says why; what is old is a warning.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use diesel_binds::{BindOptions, Binds, Gid, Left, RecoveryOptions};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::application::{Application, Three};
use crate::suite::side::{PoolKind, PostgresA, Side};
use crate::suite::world::Sides;
use crate::support::admin::Admin;

/// The gid of a new unit of a namespace, held by `holder`.
async fn unit(application: &Application, namespace: &str, holder: &str) -> Gid {
    let unit = application.process().await.session().unit();
    let id = application.id(application.file()).await;
    format!("db1:{namespace}:{unit}:{holder}:{id}")
        .parse()
        .unwrap()
}

/// A branch on PostgreSQL, as a process leaves it that dies between two steps of a commit.
async fn prepare_postgres(application: &Application, gid: &Gid) {
    let prepare = format!(
        "BEGIN; INSERT INTO notes (text) VALUES ('{}'); PREPARE TRANSACTION '{gid}:pg-a'",
        gid.unit()
    );
    PostgresA::admin(application.postgres(), &prepare).await;
}

/// The same on MariaDB, some seconds ago. While the connection lives, nobody else can finish it.
async fn prepare_mariadb(application: &Application, gid: &Gid, row: bool, seconds: u32) -> Admin {
    let (unit, holder, namespace) = (gid.unit(), gid.holder(), gid.namespace());
    let id = gid.to_string().rsplit(':').next().unwrap().to_owned();
    let xid = format!("'{namespace}:{unit}','my-a',1145188401");
    let row = match row {
        true => format!(
            "INSERT INTO diesel_binds_branch (unit, branch, holder, holder_id, connection_id, namespace, at) \
             VALUES ('{unit}', 'my-a', '{holder}', '{id}', CONNECTION_ID(), '{namespace}', \
             NOW(6) - INTERVAL {seconds} SECOND); "
        ),
        false => String::new(),
    };
    let mut admin = Admin::connect(application.mariadb().url()).await;
    let prepare = format!(
        "XA START {xid}; INSERT INTO notes (text) VALUES ('{unit}'); {row}XA END {xid}; XA PREPARE {xid}"
    );
    admin.run(&prepare).await.unwrap();
    admin
}

/// What the one branch in doubt was left alone for. It is still there.
async fn left(application: &Application, binds: &Binds, gid: &Gid) -> Left {
    let pass = binds.recover_older_than(Duration::ZERO).await;
    assert!(pass.recovered.is_empty(), "{pass}");
    assert_eq!(pass.in_doubt.len(), 1, "{pass}");
    assert!(application.is_prepared(gid).await);
    application.roll_back(gid).await;
    let mut in_doubt = pass.in_doubt;
    in_doubt.remove(0).left
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
        .recovery(RecoveryOptions::new().elsewhere());
    let builder = Three::register(builder, &urls, PoolKind::Deadpool, &BindOptions::new()).await;
    let binds = builder.build().unwrap();
    let gid = unit(&application, &application.namespace, "lite").await;
    prepare_postgres(&application, &gid).await;
    let left = left(&application, &binds, &gid).await;
    let drop_role = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    PostgresA::admin(application.postgres(), &drop_role).await;
    assert!(matches!(left, Left::OtherRole(owner) if owner == "postgres"));
}

#[tokio::test]
async fn a_branch_in_another_database_of_the_server_is_left_alone() {
    let application = Application::new().await;
    let gid = unit(&application, &application.namespace, "lite").await;
    prepare_postgres(&application, &gid).await;
    let mut urls = application.urls();
    let other = PostgresA::database().await;
    other.url().clone_into(&mut urls[0]);
    let builder = Binds::builder()
        .namespace(&application.namespace)
        .recovery(RecoveryOptions::new().elsewhere());
    let builder = Three::register(builder, &urls, PoolKind::Deadpool, &BindOptions::new()).await;
    let left = left(&application, &builder.build().unwrap(), &gid).await;
    let name = application.postgres().name().unwrap();
    assert!(matches!(left, Left::OtherDatabase(found) if found == name));
}

#[tokio::test]
async fn a_branch_of_another_application_is_left_alone_and_told_when_it_is_old() {
    let application = Application::new().await;
    let theirs = format!("{}-x", application.namespace);
    let binds = application.process().await;
    for (seconds, told) in [(30, false), (61, true)] {
        let gid = unit(&application, &theirs, "lite").await;
        let admin = prepare_mariadb(&application, &gid, true, seconds).await;
        let pass = binds.recover_older_than(Duration::ZERO).await;
        let of_theirs =
            |left: &Left| matches!(left, Left::ForeignNamespace(name) if *name == theirs);
        assert_eq!(pass.in_doubt.len(), usize::from(told), "{pass}");
        assert!(pass.in_doubt.iter().all(|branch| of_theirs(&branch.left)));
        assert!(pass.recovered.is_empty(), "{pass}");
        assert!(application.is_prepared(&gid).await);
        drop(admin);
        application.roll_back(&gid).await;
    }
}

#[tokio::test]
async fn a_branch_without_its_row_is_left_alone() {
    let application = Application::new().await;
    let gid = unit(&application, &application.namespace, "lite").await;
    drop(prepare_mariadb(&application, &gid, false, 0).await);
    let left = left(&application, &application.process().await, &gid).await;
    assert!(matches!(left, Left::Unplaced), "{left}");
}

#[tokio::test]
async fn a_branch_whose_holder_was_replaced_is_left_alone() {
    let application = Application::new().await;
    let binds = application.process().await;
    let gid = unit(&application, &application.namespace, "lite").await;
    let replaced = format!(
        "{}{}",
        &gid.to_string()[..gid.to_string().len() - 32],
        "0".repeat(32)
    );
    let gid: Gid = replaced.parse().unwrap();
    prepare_postgres(&application, &gid).await;
    assert!(binds.settle(&gid).await.is_err());
    let left = left(&application, &binds, &gid).await;
    assert!(matches!(left, Left::ReplacedHolder), "{left}");
}

#[tokio::test]
async fn a_branch_whose_holder_is_no_bind_is_left_alone() {
    let application = Application::new().await;
    let binds = application.process().await;
    let gid = unit(&application, &application.namespace, "elsewhere").await;
    prepare_postgres(&application, &gid).await;
    assert!(binds.settle(&gid).await.is_err());
    let left = left(&application, &binds, &gid).await;
    assert!(matches!(left, Left::UnknownHolder), "{left}");
}

#[tokio::test]
async fn what_is_in_doubt_for_a_minute_is_a_warning_with_its_gid() {
    let application = Application::new().await;
    let binds = application.process().await;
    let warnings = Warnings::default();
    // For all threads: where one has none of its own, it would decide for all that nobody listens.
    tracing::subscriber::set_global_default(warnings.clone()).unwrap();
    for (seconds, warned) in [(50, false), (61, true)] {
        let gid = unit(&application, &application.namespace, "elsewhere").await;
        drop(prepare_mariadb(&application, &gid, true, seconds).await);
        let pass = binds.recover_older_than(Duration::ZERO).await;
        assert_eq!(pass.in_doubt.len(), 1, "{pass}");
        let heard = warnings.0.lock().unwrap().clone();
        assert_eq!(heard.contains(&format!("gid={gid} ")), warned, "{heard}");
        application.roll_back(&gid).await;
    }
}

/// The fields of all warnings of this process.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<String>>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Fields(&mut self.0.lock().unwrap()));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}
