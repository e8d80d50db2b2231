//! A server of MariaDB that takes encrypted connections only.

use kit::secure_mariadb::SecureMariadb;

use crate::project::Project;

const TABLES: &str =
    include_str!("../../../migrations/mysql/2026-01-01-000000_diesel_binds/up.sql");

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_reach_the_server_and_diesel_does_not() {
    let server = SecureMariadb::start().await;
    server.admin("shop").await.run(TABLES).await.unwrap();
    let mut project = Project::empty().with_diesel();
    project.run(&["init", "ledger=mysql"]).ends(0);
    project.set(
        "LEDGER_DATABASE_URL",
        server.url("shop", "ssl-mode=DISABLED"),
    );
    project.run(&["in-doubt", "list"]).ends(1).says("ledger");
    for parameters in ["ssl-mode=REQUIRED", "sslmode=require"] {
        project.set("LEDGER_DATABASE_URL", server.url("shop", parameters));
        project.run(&["doctor"]).ends(0).says("ledger");
        let said = project.run(&["in-doubt", "list"]).ends(0);
        said.says("nothing is in doubt");
        project.run(&["recover"]).ends(0);
        // libmariadb would connect in the clear, whatever the URL says.
        for command in [&["migration", "run"], &["migration", "revert"]] {
            let command = [&command[..], &["--bind", "ledger"]].concat();
            project.run(&command).ends(1).says("the URL requires TLS");
        }
        project
            .run(&["print-schema", "--bind", "ledger"])
            .ends(1)
            .says("the URL requires TLS");
    }
}
