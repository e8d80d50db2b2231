//! Commits on a bind that records every commit: only those that wrote are recorded.

use diesel_binds::recovery::Outcome;
use diesel_binds::{BindOptions, Binds, Source};
use kit::admin::Admin;
use kit::prepared::decision;
use kit::side::{MariadbA, PoolKind, PostgresA, PostgresB, Side, Sqlite};

async fn recorded(url: &str) -> usize {
    let mut admin = Admin::connect(url).await;
    let rows = admin
        .values("SELECT unit AS value FROM diesel_binds_decision")
        .await;
    rows.unwrap().len()
}

/// Asserts that only commits of writers are recorded. `writes` creates a function that a statement calls which seems to
/// read only.
async fn only_what_was_written_is_recorded<S: Side>(writes: Option<&str>, alone: bool) {
    let (database, other) = (S::database().await, PostgresB::database().await);
    if let Some(writes) = writes {
        S::admin(&database, writes).await;
    }
    let builder = Binds::builder().namespace("recorded");
    let options = BindOptions::new().record_every_commit();
    let builder = S::register(builder, database.url(), PoolKind::Deadpool, 1, options).await;
    let builder = match alone {
        true => builder,
        false => builder.bind(PostgresB, Source::url(other.url())),
    };
    let binds = builder.build().unwrap();
    let mut session = binds.session();
    assert!(S::read(&session).await.unwrap().is_empty());
    let committed = session.commit_all().await.unwrap();
    assert_eq!(decision(database.url(), committed.unit()).await, None);
    assert_eq!(recorded(database.url()).await, 0);

    S::write(&session, "kept").await.unwrap();
    let committed = session.commit_all().await.unwrap();
    let kept = decision(database.url(), committed.unit()).await;
    assert_eq!(kept, Some(Outcome::Committed));

    if writes.is_some() {
        S::read_sql(&session, "SELECT sneak()").await.unwrap();
        let committed = session.commit_all().await.unwrap();
        let kept = decision(database.url(), committed.unit()).await;
        assert_eq!(kept, Some(Outcome::Committed));
        assert_eq!(S::rows(&database).await, ["kept", "sneaked"]);
    }
}

#[tokio::test]
async fn a_unit_that_only_read_is_not_recorded_on_postgres() {
    let sneak = "CREATE FUNCTION sneak() RETURNS integer LANGUAGE sql AS \
                 'INSERT INTO notes (text) VALUES (''sneaked''); SELECT 1'";
    for alone in [true, false] {
        only_what_was_written_is_recorded::<PostgresA>(Some(sneak), alone).await;
    }
}

#[tokio::test]
async fn a_unit_that_only_read_is_not_recorded_on_mariadb() {
    let sneak = "CREATE FUNCTION sneak() RETURNS INTEGER DETERMINISTIC MODIFIES SQL DATA \
                 BEGIN INSERT INTO notes (text) VALUES ('sneaked'); RETURN 1; END";
    for alone in [true, false] {
        only_what_was_written_is_recorded::<MariadbA>(Some(sneak), alone).await;
    }
}

#[tokio::test]
async fn a_unit_that_only_read_is_not_recorded_on_sqlite() {
    for alone in [true, false] {
        only_what_was_written_is_recorded::<Sqlite>(None, alone).await;
    }
}
