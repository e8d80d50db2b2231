//! A unit whose holder is lost for good is finished with the outcome that an operator chooses, and only then.

use diesel_binds::recovery::{ForceError, Outcome};
use diesel_binds::{BindOptions, Binds, Gid, RecoveryOptions};
use kit::admin::Admin;
use kit::application::{Application, Left, Three};
use kit::side::{MariadbA, PoolKind, PostgresA, Side};
use kit::world::Sides;

const REASON: &str = "the disk of the file's host burnt, ticket '7'; höher";

/// Starts a process whose URLs of some binds lead nowhere.
async fn without(application: &Application, lost: &[usize]) -> Binds {
    let mut urls = application.urls();
    let nowhere = [
        "postgres://postgres@127.0.0.1:1/gone",
        "mysql://root@127.0.0.1:1/gone",
        "/nowhere/at/all.db",
    ];
    for index in lost {
        nowhere[*index].clone_into(&mut urls[*index]);
    }
    let builder = Binds::builder()
        .namespace(&application.namespace)
        .resolve_timeout(std::time::Duration::from_millis(200))
        .recovery(RecoveryOptions::new().without_worker());
    let builder = Three::register(builder, &urls, PoolKind::Deadpool, &BindOptions::new()).await;
    builder.build().unwrap()
}

/// Returns the forced outcomes that each server has recorded.
async fn recorded(application: &Application) -> [Vec<String>; 2] {
    let query = "SELECT CONCAT(gid, ' ', outcome, ' ', reason) AS value FROM diesel_binds_forced";
    let mut postgres = Admin::connect(application.postgres().url()).await;
    let mut mariadb = Admin::connect(application.mariadb().url()).await;
    [
        postgres.values(query).await.unwrap(),
        mariadb.values(query).await.unwrap(),
    ]
}

/// Asserts that no branch of the unit is finished, and rolls both back.
async fn assert_untouched(application: &Application, gid: &Gid) {
    let process = application.process().await;
    let pass = process.recovery().in_doubt().await;
    assert_eq!(pass.in_doubt.len(), 2, "{pass}");
    application.roll_back(gid).await;
}

async fn forces(outcome: Outcome) {
    let application = Application::new().await;
    let gid = application.leave(Left::Undecided).await;
    let process = without(&application, &[2]).await;
    let forced = process
        .recovery()
        .force(&gid, outcome, REASON)
        .await
        .unwrap();
    assert!(forced.is_complete(), "{forced}");
    assert_eq!(forced.recovered.len(), 2, "{forced}");
    assert!(!application.is_prepared(&gid).await);
    let text = gid.unit().to_string();
    let kept = outcome == Outcome::Committed;
    let rows = PostgresA::rows(application.postgres()).await;
    assert_eq!(rows.contains(&text), kept);
    let rows = MariadbA::rows(application.mariadb()).await;
    assert_eq!(rows.contains(&text), kept);
    let word = if kept { "commit" } else { "abort" };
    let record = format!("{gid} {word} {REASON}");
    assert_eq!(recorded(&application).await, [[record.clone()], [record]]);
    let again = process
        .recovery()
        .force(&gid, outcome, REASON)
        .await
        .unwrap_err();
    assert!(matches!(again, ForceError::NothingListed), "{again}");
}

#[tokio::test]
async fn a_unit_whose_holder_is_gone_can_be_committed_by_force() {
    forces(Outcome::Committed).await;
}

#[tokio::test]
async fn a_unit_whose_holder_is_gone_can_be_rolled_back_by_force() {
    forces(Outcome::RolledBack).await;
}

#[tokio::test]
async fn nothing_is_forced_while_the_holder_answers() {
    let application = Application::new().await;
    let process = application.process().await;
    for left in [Left::Undecided, Left::Committed] {
        let gid = application.leave(left).await;
        let refused = process
            .recovery()
            .force(&gid, Outcome::RolledBack, REASON)
            .await;
        let expected = (left == Left::Committed).then_some(Outcome::Committed);
        let Err(ForceError::HolderAnswers { recorded, .. }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(recorded, expected);
        assert_untouched(&application, &gid).await;
    }
    assert_eq!(recorded(&application).await, [[] as [&str; 0]; 2]);
}

/// SQLite creates a missing file when it opens it. An empty file is not yet another database in its place.
#[tokio::test]
async fn nothing_is_forced_while_it_is_unclear_who_the_holder_is() {
    let application = Application::new().await;
    let gid = application.leave(Left::Undecided).await;
    let process = application.process().await;
    std::fs::remove_file(application.file().url()).unwrap();
    let refused = process
        .recovery()
        .force(&gid, Outcome::RolledBack, REASON)
        .await;
    assert!(
        matches!(refused, Err(ForceError::HolderUnclear { .. })),
        "{refused:?}"
    );
    assert!(application.is_prepared(&gid).await);
    // After `install()`, the file has an id of its own.
    process.install().await.unwrap();
    let forced = process
        .recovery()
        .force(&gid, Outcome::RolledBack, REASON)
        .await
        .unwrap();
    assert!(forced.is_complete(), "{forced}");
    assert!(!application.is_prepared(&gid).await);
}

#[tokio::test]
async fn a_unit_whose_holder_has_forgotten_it_can_be_forced() {
    let application = Application::new().await;
    let gid = application.leave(Left::Undecided).await;
    let horizon = format!(
        "INSERT INTO diesel_binds_horizon VALUES ('{}', '{}', 0)",
        application.namespace,
        "f".repeat(32)
    );
    let mut file = Admin::connect(application.file().url()).await;
    file.run(&horizon).await.unwrap();
    let process = application.process().await;
    let forced = process
        .recovery()
        .force(&gid, Outcome::RolledBack, REASON)
        .await
        .unwrap();
    assert!(forced.is_complete(), "{forced}");
    assert!(!application.is_kept(&gid).await);
}

#[tokio::test]
async fn nothing_is_forced_while_another_bind_is_not_seen() {
    let application = Application::new().await;
    let gid = application.leave(Left::Undecided).await;
    for (lost, bind) in [(0, "pg-a"), (1, "my-a")] {
        let process = without(&application, &[lost, 2]).await;
        let refused = process
            .recovery()
            .force(&gid, Outcome::Committed, REASON)
            .await;
        let Err(ForceError::Unreachable { bind: found, .. }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(found, bind);
    }
    assert_eq!(recorded(&application).await, [[] as [&str; 0]; 2]);
    assert_untouched(&application, &gid).await;
}

/// One branch is finished, and the other is not: the process that forced them died.
#[tokio::test]
async fn only_the_recorded_outcome_can_be_forced_again() {
    let application = Application::new().await;
    let gid = application.leave(Left::Undecided).await;
    let earlier = format!(
        "INSERT INTO diesel_binds_forced (unit, gid, outcome, reason) VALUES ('{}', '{gid}', 'commit', 'earlier')",
        gid.unit()
    );
    PostgresA::admin(application.postgres(), &earlier).await;
    let finished = format!("COMMIT PREPARED '{gid}:pg-a:2'");
    PostgresA::admin(application.postgres(), &finished).await;
    let process = without(&application, &[2]).await;
    let refused = process
        .recovery()
        .force(&gid, Outcome::RolledBack, REASON)
        .await;
    assert!(
        matches!(
            refused,
            Err(ForceError::Contradicts {
                bind: "pg-a",
                recorded: Outcome::Committed
            })
        ),
        "{refused:?}"
    );
    assert!(application.is_prepared(&gid).await);
    let forced = process
        .recovery()
        .force(&gid, Outcome::Committed, REASON)
        .await
        .unwrap();
    assert_eq!(forced.recovered.len(), 1, "{forced}");
    let [postgres, mariadb] = recorded(&application).await;
    assert_eq!(postgres, [format!("{gid} commit earlier")]);
    assert_eq!(mariadb, [format!("{gid} commit {REASON}")]);
}

#[tokio::test]
async fn nothing_is_finished_before_all_is_recorded() {
    let application = Application::new().await;
    let gid = application.leave(Left::Undecided).await;
    let trigger = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'full'; END $$; \
                   CREATE TRIGGER refuse BEFORE INSERT ON diesel_binds_forced EXECUTE FUNCTION refuse()";
    PostgresA::admin(application.postgres(), trigger).await;
    let process = without(&application, &[2]).await;
    let refused = process
        .recovery()
        .force(&gid, Outcome::Committed, REASON)
        .await;
    assert!(
        matches!(refused, Err(ForceError::Unreachable { bind: "pg-a", .. })),
        "{refused:?}"
    );
    let [postgres, mariadb] = recorded(&application).await;
    assert_eq!((postgres.len(), mariadb.len()), (0, 1));
    assert_untouched(&application, &gid).await;
}

#[tokio::test]
async fn a_force_needs_a_reason_and_a_unit_of_ours() {
    let application = Application::new().await;
    let gid = application.leave(Left::Undecided).await;
    let process = without(&application, &[2]).await;
    let silent = process
        .recovery()
        .force(&gid, Outcome::RolledBack, " ")
        .await;
    assert!(matches!(silent, Err(ForceError::NoReason)), "{silent:?}");
    let theirs: Gid = gid
        .to_string()
        .replace(&application.namespace, "another")
        .parse()
        .unwrap();
    let foreign = process
        .recovery()
        .force(&theirs, Outcome::RolledBack, REASON)
        .await;
    assert!(
        matches!(foreign, Err(ForceError::ForeignNamespace { .. })),
        "{foreign:?}"
    );
    assert_untouched(&application, &gid).await;
}
