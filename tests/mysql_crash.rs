//! Facts about MySQL after a crash. A program of its own, because other tests use the server that it kills.
//!
//! `cargo xtask servers start --set mysql`, then `cargo test --all-features --test mysql_crash`.

use kit::admin::Admin;
use kit::database::Database;
use kit::kill::{kill, restart};
use kit::prepared::listed;
use kit::servers::Server;

/// Recovery finds a branch by its row: nothing may take the row away before the branch is finished. A branch that was
/// rolled back does not come back, as one of MariaDB may.
#[tokio::test]
async fn a_prepared_branch_protects_its_row_and_its_table_over_a_crash() {
    let database = Database::on(Server::MysqlB).await;
    let mut admin = Admin::connect(database.url()).await;
    let name = database.name().unwrap().to_owned();
    let (stays, ends) = (format!("{name}_stays"), format!("{name}_ends"));
    let prepare = |xid: &str, number| {
        format!(
            "XA START '{xid}'; INSERT INTO t VALUES ({number}); XA END '{xid}'; XA PREPARE '{xid}'"
        )
    };
    admin
        .run(&format!(
            "CREATE TABLE t (n INTEGER PRIMARY KEY) ENGINE = InnoDB; {}; {}; XA ROLLBACK '{ends}'",
            prepare(&stays, 1),
            prepare(&ends, 2),
        ))
        .await
        .unwrap();
    kill(Server::MysqlB).await;
    restart(Server::MysqlB).await;

    assert!(listed(database.url(), &stays).await);
    assert!(!listed(database.url(), &ends).await);
    let mut admin = Admin::connect(database.url()).await;
    let numbers = "SELECT CAST(n AS CHAR) AS value FROM t";
    assert!(admin.values(numbers).await.unwrap().is_empty());
    admin
        .run("SET SESSION lock_wait_timeout = 1, SESSION innodb_lock_wait_timeout = 1")
        .await
        .unwrap();
    for statement in [
        "DELETE FROM t".to_owned(),
        "UPDATE t SET n = 3".to_owned(),
        "TRUNCATE TABLE t".to_owned(),
        "DROP TABLE t".to_owned(),
        "ALTER TABLE t ADD m INTEGER".to_owned(),
        "RENAME TABLE t TO u".to_owned(),
        format!("DROP DATABASE {name}"),
    ] {
        let error = admin.run(&statement).await.unwrap_err().to_string();
        assert!(
            error.contains("Lock wait timeout exceeded"),
            "{statement}: {error}"
        );
    }
    admin
        .run("SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
        .await
        .unwrap();
    assert_eq!(admin.values(numbers).await.unwrap(), ["1"]);
    admin.run(&format!("XA COMMIT '{stays}'")).await.unwrap();
    assert_eq!(admin.values(numbers).await.unwrap(), ["1"]);
}
