//! Prepared branches and decisions on the servers, read and finished as an operator would.

use std::time::Duration;

use diesel_binds::UnitId;
use diesel_binds::recovery::Outcome;
use tokio::time::sleep;

use crate::admin::Admin;
use crate::recovered::recovered;

/// A prepared branch, by its name on its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared(String);

/// Returns the prepared branches of the unit on one database.
pub async fn prepared(url: &str, unit: UnitId) -> Vec<Prepared> {
    let unit = unit.to_string();
    let found = match Admin::connect(url).await {
        mut postgres @ Admin::Postgres(_) => {
            let query =
                "SELECT gid AS value FROM pg_prepared_xacts WHERE database = current_database()";
            postgres.values(query).await.unwrap()
        }
        Admin::Mysql(_) => {
            let branches = recovered(url).await.into_iter();
            branches.map(|branch| branch.name).collect()
        }
        Admin::Sqlite(_) => Vec::new(),
    };
    found
        .into_iter()
        .filter(|name| name.contains(&unit))
        .map(Prepared)
        .collect()
}

/// Returns whether a server of MySQL or MariaDB lists a branch with this global id.
pub async fn listed(url: &str, gtrid: &str) -> bool {
    recovered(url)
        .await
        .iter()
        .any(|branch| branch.gtrid == gtrid)
}

/// Returns all branches of a server of MySQL or MariaDB.
pub async fn all_listed(url: &str) -> Vec<String> {
    let branches = recovered(url).await.into_iter();
    branches.map(|branch| branch.name).collect()
}

/// Finishes a branch by hand. Its connection must be gone; the server may need a moment to notice that.
pub async fn finish(url: &str, Prepared(name): &Prepared, outcome: Outcome) {
    let mut admin = Admin::connect(url).await;
    let verb = match outcome {
        Outcome::Committed => "COMMIT",
        Outcome::RolledBack => "ROLLBACK",
    };
    let statement = match admin {
        Admin::Mysql(_) => format!("XA {verb} {name}"),
        _ => format!("{verb} PREPARED '{name}'"),
    };
    if let Admin::Mysql(_) = admin {
        // A branch that is finished while its connection is just closing would be lost.
        sleep(Duration::from_millis(100)).await;
    }
    for _ in 0..500 {
        let Err(error) = admin.run(&statement).await else {
            return;
        };
        // 1402: a branch that wrote nothing has nothing to finish, and is gone after this error.
        if error.to_string().contains("XA_RBROLLBACK") {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("{name} cannot be finished");
}

/// Returns the decision of this database about the unit, if there is one.
pub async fn decision(url: &str, unit: UnitId) -> Option<Outcome> {
    let schema = if url.starts_with("mysql") {
        ""
    } else if url.starts_with("postgres") {
        "public."
    } else {
        "main."
    };
    let query =
        format!("SELECT outcome AS value FROM {schema}diesel_binds_decision WHERE unit = '{unit}'");
    let rows = Admin::connect(url).await.values(&query).await.unwrap();
    assert!(rows.len() <= 1, "a unit is decided once");
    rows.as_slice()
        .first()
        .map(|outcome| match outcome.as_str() {
            "commit" => Outcome::Committed,
            _ => Outcome::RolledBack,
        })
}
