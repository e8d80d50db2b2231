//! Records of decisions are deleted when they cannot be needed any more, and not before.

use std::time::Duration;

use diesel_binds::error::Fault;
use diesel_binds::recovery::InDoubtReason;
use diesel_binds::{BindOptions, Binds, Gid, RecoveryOptions, UnitId};
use kit::admin::Admin;
use kit::application::{Application, Left, Three};
use kit::side::{MariadbA, PoolKind, PostgresA, PostgresB, Sqlite};
use kit::world::{Sides, World};

const HOUR: Duration = Duration::from_secs(3600);

/// A unit that began long ago.
const ANCIENT: &str = "01000000000070008000000000000001";

fn kept_for(retention: Duration) -> RecoveryOptions {
    RecoveryOptions::new().without_worker().retention(retention)
}

/// Options with which every finished record is old enough to be deleted.
pub(crate) fn at_once() -> RecoveryOptions {
    kept_for(Duration::ZERO)
}

async fn run(url: &str, sql: &str) {
    Admin::connect(url).await.run(sql).await.unwrap();
}

async fn values(url: &str, sql: &str) -> Vec<String> {
    Admin::connect(url).await.values(sql).await.unwrap()
}

/// Returns the units of which a database has a record.
async fn records(url: &str) -> Vec<String> {
    values(url, "SELECT unit AS value FROM diesel_binds_decision").await
}

/// Moves the time of a horizon a minute back.
async fn a_minute_later(url: &str) {
    run(
        url,
        "UPDATE diesel_binds_horizon SET moved_at = moved_at - 60",
    )
    .await;
}

/// Sets a horizon behind which all units lie, and which has not moved for long.
pub(crate) async fn everything_lies_behind(application: &Application) {
    let horizon = format!(
        "INSERT INTO diesel_binds_horizon (namespace, unit, moved_at) VALUES ('{}', '{}', 0)",
        application.namespace,
        "f".repeat(32)
    );
    run(application.file().url(), &horizon).await;
}

/// Commits a unit everywhere, and waits until it is finished.
async fn commit(application: &Application) -> Gid {
    let process = application.process().await;
    let mut session = process.session();
    let text = session.unit().to_string();
    Three::write(&session, &text).await.unwrap();
    let committed = session.commit_all().await.unwrap();
    assert_eq!(committed.committed().unwrap().pending(), &[] as &[&str]);
    committed.gid().unwrap().clone()
}

pub(crate) async fn is_recorded(application: &Application, gid: &Gid) -> bool {
    let unit = gid.unit().to_string();
    records(application.file().url()).await.contains(&unit)
}

/// Asserts that the horizon moves first, and that the record is deleted a minute later.
async fn forgets<S: Sides>(holder: usize) {
    let namespace = format!("forget-{}-{}", S::keys().join("-"), std::process::id());
    let world = World::builder::<S>()
        .binds(|binds| binds.namespace(&namespace).recovery(at_once()))
        .build()
        .await;
    let holder = world.databases[holder].url();
    let mut session = world.binds.session();
    S::write(&session, "kept").await.unwrap();
    let committed = session.commit_all().await.unwrap();
    let gid = committed.gid().unwrap();
    let unit = gid.unit().to_string();
    assert_eq!(records(holder).await, [unit.as_str()]);

    for _ in 0..2 {
        let pass = world.binds.recovery().run().await;
        assert!(
            pass.is_complete() && pass.not_forgotten.is_empty(),
            "{pass}"
        );
        assert_eq!(records(holder).await, [unit.as_str()], "not at once");
    }
    a_minute_later(holder).await;
    let pass = world.binds.recovery().run().await;
    assert!(pass.not_forgotten.is_empty(), "{pass}");
    assert_eq!(pass.forgotten, 1, "{pass:?}");
    assert_eq!(records(holder).await, [] as [&str; 0]);
    for database in &world.databases {
        if database.url().starts_with("mysql") {
            let rows = "SELECT unit AS value FROM diesel_binds_branch";
            assert_eq!(values(database.url(), rows).await, [] as [&str; 0]);
        }
    }

    // The outcome is unknown, which is not the same as rolled back.
    let asked = world.binds.recovery().outcome_of(gid).await.unwrap_err();
    assert!(matches!(asked.source, Fault::Forgotten), "{asked:?}");
    let resolved = world.binds.recovery().resolve(gid).await.unwrap_err();
    assert!(matches!(resolved.source, Fault::Forgotten), "{resolved:?}");
    assert_eq!(records(holder).await, [] as [&str; 0], "no fence stands");

    // The next unit commits like any other.
    S::write(&session, "later").await.unwrap();
    let later = session.commit_all().await.unwrap();
    let outcome = world
        .binds
        .recovery()
        .outcome_of(later.gid().unwrap())
        .await;
    assert!(outcome.unwrap().is_some());
}

#[tokio::test]
async fn a_record_goes_a_minute_after_its_horizon_on_postgres() {
    forgets::<(PostgresA, PostgresB)>(0).await;
}

#[tokio::test]
async fn a_record_goes_a_minute_after_its_horizon_on_mariadb() {
    forgets::<(PostgresA, MariadbA)>(1).await;
}

#[tokio::test]
async fn a_record_goes_a_minute_after_its_horizon_on_sqlite() {
    forgets::<(MariadbA, Sqlite)>(1).await;
}

/// Asserts that a pass keeps the record while it is needed, and that a pass after `obstacle` deletes it.
async fn goes_only_after(
    application: &Application,
    gid: &Gid,
    before: &Binds,
    obstacle: impl Future<Output = ()>,
) {
    everything_lies_behind(application).await;
    let pass = before.recovery().run_older_than(HOUR).await;
    assert!(is_recorded(application, gid).await, "{pass}");
    obstacle.await;
    let after = application.process_with(at_once()).await;
    let pass = after.recovery().run_older_than(Duration::ZERO).await;
    assert!(pass.is_complete(), "{pass}");
    assert!(!is_recorded(application, gid).await, "{pass}");
}

#[tokio::test]
async fn a_record_stays_while_a_participant_lists_the_branch() {
    let application = Application::new().await;
    let gid = application.leave(Left::Committed).await;
    let process = application.process_with(at_once()).await;
    goes_only_after(&application, &gid, &process, async {}).await;
    assert!(application.is_kept(&gid).await);
}

#[tokio::test]
async fn a_record_stays_while_a_participant_is_not_reached() {
    let application = Application::new().await;
    let gid = commit(&application).await;
    let builder = Binds::builder()
        .namespace(&application.namespace)
        .recovery(at_once());
    let mut urls = application.urls();
    "postgres://postgres@127.0.0.1:1/gone".clone_into(&mut urls[0]);
    let builder = Three::register(builder, &urls, PoolKind::Deadpool, &BindOptions::new()).await;
    let process = builder.build().unwrap();
    goes_only_after(&application, &gid, &process, async {}).await;
}

#[tokio::test]
async fn a_record_stays_where_a_participant_is_not_a_bind() {
    let application = Application::new().await;
    let gid = commit(&application).await;
    let builder = Binds::builder()
        .namespace(&application.namespace)
        .recovery(at_once());
    let urls = [
        application.mariadb().url().to_owned(),
        application.file().url().to_owned(),
    ];
    let options = BindOptions::new();
    let builder =
        <(MariadbA, Sqlite)>::register(builder, &urls, PoolKind::Deadpool, &options).await;
    let process = builder.build().unwrap();
    goes_only_after(&application, &gid, &process, async {}).await;
}

/// The bind of `pg-a` was renamed. The process has no bind of the record's key, and the database has another key.
#[tokio::test]
async fn the_record_of_a_renamed_bind_goes_when_its_database_has_finished() {
    type Renamed = (PostgresB, MariadbA, Sqlite);
    let application = Application::new().await;
    let gid = application.leave(Left::Committed).await;
    everything_lies_behind(&application).await;
    let builder = Binds::builder()
        .namespace(&application.namespace)
        .recovery(at_once());
    let (urls, options) = (application.urls(), BindOptions::new());
    let builder = Renamed::register(builder, &urls, PoolKind::Deadpool, &options).await;
    let renamed = builder.build().unwrap();
    let pass = renamed.recovery().run_older_than(HOUR).await;
    assert!(pass.not_forgotten.is_empty(), "{pass}");
    assert!(is_recorded(&application, &gid).await, "it lists a branch");
    let pass = renamed.recovery().run_older_than(Duration::ZERO).await;
    assert!(pass.is_complete(), "{pass}");
    assert!(!is_recorded(&application, &gid).await, "{pass}");
    assert!(application.is_kept(&gid).await);
}

#[tokio::test]
async fn a_record_stays_while_another_database_is_in_the_place_of_a_participant() {
    let application = Application::new().await;
    let gid = commit(&application).await;
    let id = application.id(application.postgres()).await;
    let set = |id: &str| format!("UPDATE diesel_binds_meta SET holder_id = '{id}'");
    run(application.postgres().url(), &set(&"0".repeat(32))).await;
    let process = application.process_with(at_once()).await;
    goes_only_after(&application, &gid, &process, async {
        run(application.postgres().url(), &set(&id)).await;
    })
    .await;
}

#[tokio::test]
async fn a_record_of_another_application_stays() {
    let application = Application::new().await;
    let gid = commit(&application).await;
    let mut other = Binds::builder().namespace("another").recovery(at_once());
    let (urls, options) = (application.urls(), BindOptions::new());
    other = Three::register(other, &urls, PoolKind::Deadpool, &options).await;
    let other = other.build().unwrap();
    // The other application has a horizon of its own.
    run(
        application.file().url(),
        &format!(
            "INSERT INTO diesel_binds_horizon VALUES ('another', '{}', 0)",
            "f".repeat(32)
        ),
    )
    .await;
    goes_only_after(&application, &gid, &other, async {}).await;
}

#[tokio::test]
async fn a_record_stays_for_its_retention() {
    let application = Application::new().await;
    everything_lies_behind(&application).await;
    let process = application.process_with(kept_for(HOUR)).await;
    let record = async |unit: &str, at: &str| {
        let insert = format!(
            "INSERT INTO diesel_binds_decision (unit, outcome, participants, namespace, at) \
             VALUES ('{unit}', 'commit', '', '{}', datetime('now', '{at}'))",
            application.namespace
        );
        run(application.file().url(), &insert).await;
    };
    let young = process.session().unit().to_string();
    record(ANCIENT, "-59 minutes").await;
    record(&young, "-2 hours").await;
    let _ = process.recovery().run().await;
    assert_eq!(
        records(application.file().url()).await,
        [ANCIENT, young.as_str()],
        "an old unit was decided late, and a clock was wrong"
    );
    let older = "UPDATE diesel_binds_decision SET at = datetime('now', '-61 minutes')";
    run(application.file().url(), older).await;
    let _ = process.recovery().run().await;
    assert_eq!(records(application.file().url()).await, [young.as_str()]);
}

#[tokio::test]
async fn the_record_of_a_roll_back_is_kept_for_ever() {
    let application = Application::new().await;
    let gid = application.leave(Left::Undecided).await;
    let process = application.process_with(kept_for(Duration::MAX)).await;
    let pass = process.recovery().run_older_than(Duration::ZERO).await;
    assert!(pass.is_complete(), "{pass}");
    everything_lies_behind(&application).await;
    let process = application.process_with(at_once()).await;
    let _ = process.recovery().run().await;
    assert!(is_recorded(&application, &gid).await);
    assert!(process.recovery().outcome_of(&gid).await.unwrap().is_some());
}

async fn horizon(application: &Application) -> Option<String> {
    let horizon = format!(
        "SELECT unit AS value FROM diesel_binds_horizon WHERE namespace = '{}'",
        application.namespace
    );
    values(application.file().url(), &horizon).await.pop()
}

/// A branch in doubt behind the horizon could only be finished by hand.
#[tokio::test]
async fn the_horizon_stays_before_what_is_in_doubt() {
    let application = Application::new().await;
    let first = commit(&application).await;
    let doubtful = application.leave(Left::Committed).await;
    let last = commit(&application).await;
    let process = application.process_with(at_once()).await;
    let _ = process.recovery().run_older_than(HOUR).await;
    assert_eq!(horizon(&application).await, Some(first.unit().to_string()));
    a_minute_later(application.file().url()).await;
    let pass = process.recovery().run_older_than(Duration::ZERO).await;
    assert!(pass.is_complete(), "{pass}");
    assert!(!application.is_prepared(&doubtful).await);
    assert_eq!(horizon(&application).await, Some(last.unit().to_string()));
}

#[tokio::test]
async fn the_horizon_stays_while_a_bind_is_not_reached() {
    let application = Application::new().await;
    let mut urls = application.urls();
    "mysql://root@127.0.0.1:1/gone".clone_into(&mut urls[1]);
    let record = format!(
        "INSERT INTO diesel_binds_decision (unit, outcome, participants, namespace, at) \
         VALUES ('{ANCIENT}', 'commit', '', '{}', datetime('now', '-1 hour'))",
        application.namespace
    );
    run(application.file().url(), &record).await;
    let builder = Binds::builder()
        .namespace(&application.namespace)
        .recovery(at_once());
    let builder = Three::register(builder, &urls, PoolKind::Deadpool, &BindOptions::new()).await;
    let _ = builder.build().unwrap().recovery().run().await;
    assert_eq!(horizon(&application).await, None);
    let _ = application
        .process_with(at_once())
        .await
        .recovery()
        .run()
        .await;
    assert_eq!(horizon(&application).await.as_deref(), Some(ANCIENT));
}

/// The unit was not decided, and is older than the horizon of its holder.
#[tokio::test]
async fn branches_whose_holder_has_forgotten_them_are_left_alone() {
    let application = Application::new().await;
    let gid = application.leave(Left::Undecided).await;
    everything_lies_behind(&application).await;
    let process = application.process_with(at_once()).await;
    let pass = process.recovery().run_older_than(Duration::ZERO).await;
    assert_eq!(pass.in_doubt.len(), 2, "{pass}");
    let mut in_doubt = pass.in_doubt.iter();
    assert!(
        in_doubt.all(|branch| matches!(branch.reason, InDoubtReason::Forgotten)),
        "{pass}"
    );
    assert!(process.recovery().resolve(&gid).await.is_err());
    assert!(!is_recorded(&application, &gid).await, "no fence stands");
    assert!(application.is_prepared(&gid).await);
    application.roll_back(&gid).await;
}

/// The row names the holder of the branch.
#[tokio::test]
async fn the_row_of_a_listed_branch_stays() {
    let application = Application::new().await;
    let process = application.process_with(at_once()).await;
    let unit: UnitId = process.session().unit();
    let namespace = &application.namespace;
    let url = application.mariadb().url();
    let row = format!(
        "INSERT INTO diesel_binds_branch (unit, branch, holder, holder_id, connection_id, parts, namespace) \
         VALUES ('{unit}', 'my-a', 'elsewhere', '{}', 1, 1, '{namespace}')",
        "0".repeat(32)
    );
    let xid = format!("'{namespace}:{unit}','my-a',1145188401");
    let mut admin = Admin::connect(url).await;
    let start = format!("XA START {xid}");
    // MySQL lists a branch by its row, while that is not committed.
    let is_mysql = application.mariadb().is_mysql();
    let begin = match is_mysql {
        true => format!("{start}; {row}"),
        false => format!("{row}; {start}"),
    };
    let prepare = format!(
        "{begin}; INSERT INTO notes (text) VALUES ('{unit}'); XA END {xid}; XA PREPARE {xid}"
    );
    admin.run(&prepare).await.unwrap();
    let rows = "SELECT unit AS value FROM diesel_binds_branch";
    let pass = process.recovery().run_older_than(Duration::ZERO).await;
    assert_eq!(pass.in_doubt.len(), 1, "{pass}");
    let uncommitted = "SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED";
    let mut reader = Admin::connect(url).await;
    reader.run(uncommitted).await.unwrap();
    assert_eq!(reader.values(rows).await.unwrap(), [unit.to_string()]);
    admin.run(&format!("XA ROLLBACK {xid}")).await.unwrap();
    let pass = process.recovery().run_older_than(Duration::ZERO).await;
    let forgotten = usize::from(!is_mysql);
    assert_eq!(
        (pass.in_doubt.len(), pass.forgotten),
        (0, forgotten),
        "{pass}"
    );
    assert_eq!(values(url, rows).await, [] as [&str; 0]);
}

/// The role may lack the right to delete.
#[tokio::test]
async fn records_that_cannot_be_deleted_are_reported() {
    let application = Application::new().await;
    let gid = commit(&application).await;
    everything_lies_behind(&application).await;
    run(
        application.file().url(),
        "CREATE TRIGGER keep BEFORE DELETE ON diesel_binds_decision BEGIN SELECT RAISE(ABORT, 'kept'); END",
    )
    .await;
    let pass = application
        .process_with(at_once())
        .await
        .recovery()
        .run()
        .await;
    assert!(pass.is_complete(), "{pass}");
    let [(bind, _)] = pass.not_forgotten.as_slice() else {
        panic!("{pass}")
    };
    assert_eq!(*bind, "lite");
    assert!(pass.to_string().contains("old records stay"), "{pass}");
    assert!(is_recorded(&application, &gid).await);
}

/// A login with few rights on the databases of PostgreSQL and MariaDB.
struct Login<'a> {
    application: &'a Application,
    name: String,
}

impl<'a> Login<'a> {
    /// Creates the login. `rights` are privileges and the tables that they are on.
    async fn with(application: &'a Application, rights: &[(&str, &str)]) -> Self {
        let database = application.mariadb().name().unwrap();
        let name = format!("l{}", &database[5..]);
        let mut on_postgres = format!(
            "CREATE ROLE {name} LOGIN; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {name}"
        );
        let mut on_mariadb = format!("CREATE USER {name} IDENTIFIED BY 'secret'");
        for (privileges, table) in rights {
            if *table != "diesel_binds_branch" {
                on_postgres += &format!("; GRANT {privileges} ON {table} TO {name}");
            }
            on_mariadb += &format!("; GRANT {privileges} ON {database}.{table} TO {name}");
        }
        run(application.postgres().url(), &on_postgres).await;
        run(application.mariadb().url(), &on_mariadb).await;
        Self { application, name }
    }

    /// Connects as the login.
    async fn binds(&self) -> Binds {
        let name = &self.name;
        let postgres = self.application.postgres().url();
        let mariadb = self.application.mariadb().url();
        let postgres = postgres.replace("postgres@", &format!("{name}@"));
        let mariadb = mariadb.replace("root@", &format!("{name}:secret@"));
        on_servers(self.application, [&postgres, &mariadb]).await
    }

    async fn drop(self) {
        let name = self.name;
        let user = format!("DROP USER {name}");
        run(self.application.mariadb().url(), &user).await;
        let role = format!("DROP OWNED BY {name}; DROP ROLE {name}");
        run(self.application.postgres().url(), &role).await;
    }
}

/// Connects to the databases of PostgreSQL and MariaDB alone.
async fn on_servers(application: &Application, urls: [&str; 2]) -> Binds {
    let builder = Binds::builder()
        .namespace(&application.namespace)
        .recovery(at_once());
    let urls = urls.map(str::to_owned);
    let options = BindOptions::new();
    let builder = <(PostgresA, MariadbA)>::register(builder, &urls, PoolKind::Deadpool, &options);
    builder.await.build().unwrap()
}

/// The roles have only the rights that the docs require for units. A pass reports the records that they cannot delete,
/// and other roles delete them.
#[tokio::test]
async fn records_that_the_role_of_a_process_cannot_delete_are_reported() {
    let application = Application::new().await;
    let login = Login::with(
        &application,
        &[
            ("SELECT, INSERT", "notes"),
            ("SELECT", "diesel_binds_meta"),
            ("SELECT", "diesel_binds_horizon"),
            ("SELECT", "diesel_binds_forced"),
            ("SELECT, INSERT", "diesel_binds_decision"),
            ("SELECT, INSERT, DELETE", "diesel_binds_branch"),
        ],
    )
    .await;
    // The holder is MariaDB.
    let limited = login.binds().await;
    let servers = [application.postgres().url(), application.mariadb().url()];
    let full = on_servers(&application, servers).await;
    let mut session = full.session();
    <(PostgresA, MariadbA)>::write(&session, "kept")
        .await
        .unwrap();
    session.commit_all().await.unwrap();

    let to_move = limited.recovery().run().await;
    let _ = full.recovery().run().await;
    a_minute_later(application.mariadb().url()).await;
    let to_delete = limited.recovery().run().await;
    let deleted = full.recovery().run().await;
    limited.close().await;
    full.close().await;
    login.drop().await;
    for pass in [&to_move, &to_delete] {
        assert!(
            matches!(
                pass.not_forgotten.as_slice(),
                [("my-a", Fault::Statement(_))]
            ),
            "{pass:?}"
        );
    }
    assert_eq!(deleted.forgotten, 1, "{deleted:?}");
}

/// The server hides neither table, and refuses to show its rows.
#[tokio::test]
async fn a_role_that_may_not_read_the_tables_is_no_database_without_tables() {
    let application = Application::new().await;
    let rights = [
        ("INSERT", "diesel_binds_meta"),
        ("INSERT", "diesel_binds_decision"),
    ];
    let login = Login::with(&application, &rights).await;
    let binds = login.binds().await;
    let pass = binds.recovery().run().await;
    binds.close().await;
    login.drop().await;
    let mut refused: Vec<_> = pass.not_forgotten.iter().chain(&pass.unreachable).collect();
    refused.sort_by_key(|(bind, _)| *bind);
    refused.dedup_by_key(|(bind, _)| *bind);
    assert!(
        matches!(
            refused.as_slice(),
            [("my-a", Fault::Statement(_)), ("pg-a", Fault::Statement(_))]
        ),
        "{pass:?}"
    );
}
