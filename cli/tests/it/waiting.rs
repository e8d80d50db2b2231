//! Migrations that wait for the locks of a prepared branch, on PostgreSQL and MariaDB.

use std::io::{BufRead as _, BufReader, Read as _};
use std::time::Duration;

use kit::admin::Admin;
use kit::application::{Application, LONG, Left};
use tokio::time::{sleep, timeout};

use crate::project::Project;

const CHANGE: &str = "ALTER TABLE notes ADD COLUMN note INTEGER;";

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_waits_for_a_branch_says_for_which() {
    let application = Application::new().await;
    let mut project = Project::empty().with_diesel();
    let binds = ["pg-a=postgres", "my-a=mysql", "lite=sqlite"];
    let init = ["init", "--namespace", &application.namespace];
    project.run(&[&init[..], &binds[..]].concat()).ends(0);
    let urls = application.urls();
    for (variable, url) in ["PG_A", "MY_A", "LITE"].iter().zip(&urls) {
        project.set(&format!("{variable}_DATABASE_URL"), url);
    }
    project.run(&["setup", "--all"]).ends(0);
    let left = application.leave(Left::Committed).await;
    let namespace = &application.namespace;
    let young = application.gid_of_new_unit(namespace, "lite").await;

    for (bind, url, gid) in [("pg-a", &urls[0], &left), ("my-a", &urls[1], &young)] {
        let unit = gid.unit().to_string();
        // On MariaDB, a wait ends at once only while the connection that prepared the branch lives.
        let held = match bind {
            "my-a" => Some(application.prepare_on_mariadb(gid, true, 10).await),
            _ => None,
        };
        project.migration(bind, "2026-11-22-000000_change", CHANGE, "SELECT 1;");
        let mut run = project.spawn(&["migration", "run", "--bind", bind]);
        let stderr = run.stderr.take().unwrap();
        let warned = tokio::task::spawn_blocking(move || {
            let mut stderr = BufReader::new(stderr);
            let mut all = String::new();
            while !all.contains("warning: ") && stderr.read_line(&mut all).unwrap() > 0 {}
            (all, stderr)
        });
        let (warning, mut stderr) = timeout(LONG, warned)
            .await
            .expect("the command reports the branch that it waits for")
            .unwrap();
        assert!(
            warning.contains(&format!("warning: {bind}: a migration may wait"))
                && warning.contains(&unit),
            "{warning}"
        );

        // If the wait ends with an error, the error names the branches as well.
        while run.try_wait().unwrap().is_none() {
            Admin::connect(url).await.end_alterations().await;
            sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(run.wait().unwrap().code(), Some(1));
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).unwrap();
        let error = rest.split(&format!("error: {bind}: ")).nth(1);
        let error = error.unwrap_or_else(|| panic!("{rest}"));
        assert!(
            error.contains("may have waited")
                && error.contains(&unit)
                && error.contains("`diesel-binds recover`"),
            "{rest}"
        );
        drop(held);
    }

    // The command that the messages name finishes the branches.
    let said = project.run(&["recover"]).ends(0);
    said.says(&left.to_string()).says(&young.to_string());
    for bind in ["pg-a", "my-a"] {
        let said = project.run(&["migration", "run", "--bind", bind]).ends(0);
        said.says("2026-11-22-000000_change")
            .says_nothing_of("warning");
    }
}
