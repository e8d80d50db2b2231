//! The role of each server in a unit of several writers: a participant prepares, a holder decides, and the units of any
//! other server are refused.
//!
//! `cargo xtask compatibility` runs this against servers of several releases, and writes what it prints into
//! `docs/compatibility.md`.

use std::env;

use diesel_binds::{BindOptions, Error};
use kit::admin::Admin;
use kit::side::{MariadbA, PostgresA, PostgresB, PostgresPlain, PostgresPlainB, Side, Sqlite};

use crate::commit::pair::Pair;

/// Commits a unit that writes to both sides.
async fn unit<S: Side, Other: Side>(options: &BindOptions) -> Result<(), Error> {
    let pair = Pair::<S, Other>::with(options.clone(), BindOptions::new()).await;
    let mut session = pair.binds.session();
    let unit = session.unit();
    pair.write(&session, "kept").await?;
    session.commit_all().await?;
    pair.holds(unit, &["kept"]).await;
    Ok(())
}

/// Returns the role, after units that need it. Prints it with the version of the server.
async fn role<S: Side>(name: &str, version: &str, options: BindOptions) -> &'static str {
    // The other side cannot prepare, so this one has to.
    let role = match unit::<S, PostgresPlainB>(&options).await {
        Ok(()) => "participant",
        Err(cannot_prepare) => match unit::<S, PostgresB>(&options).await {
            Ok(()) => "holder",
            Err(error) => {
                println!("{name}: {cannot_prepare}; {error}");
                "refused"
            }
        },
    };
    let database = S::database().await;
    let mut admin = Admin::connect(database.url()).await;
    let version = format!("SELECT {version} AS value");
    let version = admin.values(&version).await.unwrap().remove(0);
    println!("role | {name} | {version} | {role}");
    role
}

#[tokio::test]
async fn servers_have_the_roles_that_the_documentation_lists() {
    let mysql = "SUBSTRING_INDEX(VERSION(), '-', 1)";
    let options = BindOptions::new;
    if env::var_os("DIESEL_BINDS_TEST_GALERA").is_some() {
        // A node of a cluster takes the place of the usual server.
        let found = role::<MariadbA>("Galera node", mysql, options()).await;
        assert_eq!(found, "holder");
        return;
    }
    if MariadbA::is_mysql() {
        let found = role::<MariadbA>("MySQL", mysql, options()).await;
        assert_eq!(found, "participant");
        return;
    }
    assert_eq!(
        role::<MariadbA>("MariaDB", mysql, options()).await,
        "participant"
    );
    let postgres = "SPLIT_PART(current_setting('server_version'), ' ', 1)";
    assert_eq!(
        role::<PostgresA>("PostgreSQL", postgres, options()).await,
        "participant"
    );
    let name = "PostgreSQL with `max_prepared_transactions = 0`";
    assert_eq!(
        role::<PostgresPlain>(name, postgres, options()).await,
        "holder"
    );
    assert_eq!(
        role::<Sqlite>("SQLite", "sqlite_version()", options()).await,
        "holder"
    );
}
