//! The command line reads the records that the program keeps of its migrations.

#![allow(unreachable_pub, reason = "a bind is public")]

use diesel_binds::{AsyncSqliteConnection, Bind, Binds, Source};
use diesel_migrations::FileBasedMigrations;

use crate::accidents::{files, plain};

#[derive(Bind)]
#[bind(key = "a", connection = AsyncSqliteConnection)]
pub struct A;

#[derive(Bind)]
#[bind(key = "b", connection = AsyncSqliteConnection)]
pub struct B;

/// Two databases of one kind have migrations of the same versions. Only the records of the program distinguish them.
#[tokio::test]
async fn variables_that_were_swapped() {
    let mut project = files(&["a", "b"]);
    let name = |bind| format!("migrations/{bind}/2026-11-21-090000_create_{bind}");
    std::fs::rename(
        project.path("migrations/b/2026-11-21-090001_create_b"),
        project.path(&name("b")),
    )
    .unwrap();
    let folder = |bind: &str| {
        let folder = project.path("migrations").join(bind);
        FileBasedMigrations::from_path(folder).unwrap()
    };
    let file = |name: &str| project.path(name).display().to_string();
    let binds = Binds::builder()
        .namespace("shop")
        .bind(A, Source::url(file("a.db")))
        .bind(B, Source::url(file("b.db")))
        .migrations(A, folder("a"))
        .migrations(B, folder("b"))
        .build()
        .unwrap();
    binds.migrations().run().await.unwrap();
    binds.close().await;
    project.run(&["migration", "run", "--all"]).ends(0);
    project.run(&["migration", "status"]).ends(0);
    project.set("A_DATABASE_URL", "b.db");
    project.set("B_DATABASE_URL", "a.db");
    // Before.
    plain(&project, "pending", "a", "b.db")
        .ends(0)
        .says("false");
    // After.
    project
        .run(&["migration", "pending", "--all"])
        .ends(1)
        .says_nothing_of("false")
        .says("was applied for `b`, not for `a`");
    project
        .run(&["migration", "revert", "--all"])
        .ends(2)
        .says("nothing was done");
}
