//! A branch whose name MariaDB has lost stays in doubt, and its record stays, until the server lists it again.

use std::time::Duration;

use diesel_binds::Gid;
use diesel_binds::recovery::InDoubtReason;
use kit::admin::Admin;
use kit::application::Application;
use tokio::time::sleep;

use crate::recovery::forget::{at_once, everything_lies_behind, is_recorded};

/// The maximum number of branches that are finished too early until one is lost: about one in fifty is.
const BRANCHES: usize = 5000;

/// Prepares branches, and finishes each while its connection is closing, until one is lost. Records a commit as the
/// decision about it.
async fn lose_a_branch(application: &Application) -> Gid {
    let process = application.process().await;
    let holder_id = application.id(application.file()).await;
    let mut other = Admin::connect(application.mariadb().url()).await;
    for _ in 0..BRANCHES {
        let unit = process.session().unit();
        let namespace = &application.namespace;
        let xid = xid(application, &unit.to_string());
        let mut owner = Admin::connect(application.mariadb().url()).await;
        let id = "SELECT CAST(CONNECTION_ID() AS CHAR) AS value";
        let id = owner.values(id).await.unwrap().remove(0);
        let prepare = format!(
            "XA START {xid}; INSERT INTO notes (text) VALUES ('{unit}'); \
             INSERT INTO diesel_binds_branch (unit, branch, holder, holder_id, connection_id, parts, namespace) \
             VALUES ('{unit}', 'my-a', 'lite', '{holder_id}', CONNECTION_ID(), 1, '{namespace}'); \
             XA END {xid}; XA PREPARE {xid}"
        );
        owner.run(&prepare).await.unwrap();
        other.run(&format!("KILL {id}")).await.unwrap();
        while other.run(&format!("XA COMMIT {xid}")).await.is_err() {}
        let committed = format!("SELECT text AS value FROM notes WHERE text = '{unit}'");
        if other.values(&committed).await.unwrap().is_empty() {
            let gid = format!("db1:{namespace}:{unit}:lite:{holder_id}");
            let record = format!(
                "INSERT INTO diesel_binds_decision (unit, outcome, participants, namespace) \
                 VALUES ('{unit}', 'commit', 'my-a@{}', '{namespace}')",
                application.id(application.mariadb()).await
            );
            let mut file = Admin::connect(application.file().url()).await;
            file.run(&record).await.unwrap();
            return gid.parse().unwrap();
        }
    }
    panic!("MariaDB loses no branch any more: recovery need not wait for connections to be gone");
}

fn xid(application: &Application, unit: &str) -> String {
    format!("'{}:{unit}','my-a',1145188401", application.namespace)
}

/// Prepares another transaction of the same name, which makes the branch known again, as a restart of the server does.
/// This is safe only to roll the branch back.
async fn roll_back(application: &Application, gid: &Gid) {
    let xid = xid(application, &gid.unit().to_string());
    let mut namesake = Admin::connect(application.mariadb().url()).await;
    let prepare = format!("XA START {xid}; XA END {xid}; XA PREPARE {xid}");
    namesake.run(&prepare).await.unwrap();
    drop(namesake);
    let mut admin = Admin::connect(application.mariadb().url()).await;
    loop {
        sleep(Duration::from_millis(100)).await;
        match admin.run(&format!("XA ROLLBACK {xid}")).await {
            Err(error) if error.to_string().contains("XAER_NOTA") => {}
            _ => return,
        }
    }
}

#[tokio::test]
async fn a_branch_that_the_server_has_lost_stays_in_doubt() {
    let application = Application::new().await;
    let gid = lose_a_branch(&application).await;
    assert!(!application.is_prepared(&gid).await, "it is not listed");
    everything_lies_behind(&application).await;
    let process = application.process_with(at_once()).await;
    for _ in 0..2 {
        let pass = process.recovery().run_older_than(Duration::ZERO).await;
        let lost: Vec<_> = pass.in_doubt.iter().collect();
        assert_eq!(lost.len(), 1, "{pass}");
        assert!(matches!(lost[0].reason, InDoubtReason::NameLost), "{pass}");
        assert_eq!(lost[0].gid.as_ref(), Some(&gid));
        assert!(is_recorded(&application, &gid).await, "{pass}");
    }

    roll_back(&application, &gid).await;
    let pass = process.recovery().run_older_than(Duration::ZERO).await;
    assert!(pass.is_complete(), "{pass}");
    assert!(!is_recorded(&application, &gid).await, "{pass}");
}
