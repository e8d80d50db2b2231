//! The part of a node in a unit: it holds the decision, without any option.

use diesel_binds::check::{Finding, Severity};
use diesel_binds::{CommitError, Error};
use kit::side::{GaleraA, GaleraB, PoolKind, PostgresA, Sqlite};
use kit::world::{Sides, World};

use crate::cluster::Nodes;
use crate::suite::mount::mount;

mount!(atomic: [
    commit_all_keeps_the_unit_on_every_bind,
    rollback_all_keeps_nothing_on_any_bind,
    a_dropped_session_keeps_nothing_and_frees_its_connections,
    a_swallowed_error_never_commits_half_of_a_unit,
    a_closure_commits_on_ok_and_rolls_back_on_err,
] on [
    galera: <(GaleraA,)>,
    postgres_and_galera: <(PostgresA, GaleraA)>,
]);

#[tokio::test]
async fn a_unit_is_on_both_nodes_as_soon_as_they_have_caught_up() {
    let nodes = Nodes::new().await;
    let mut session = nodes.world.binds.session();
    <(PostgresA, GaleraA)>::write(&session, "kept")
        .await
        .unwrap();
    session.commit_all().await.unwrap();
    assert_eq!(nodes.rows().await, [["kept"]; 3]);
}

#[tokio::test]
async fn the_preflight_says_that_a_node_decides_and_what_that_needs() {
    let world = World::of::<(PostgresA, GaleraA)>(PoolKind::Deadpool).await;
    let report = world.binds.check().await;
    let findings = &report.bind("galera-a").unwrap().findings;
    let reason = findings.iter().find_map(|finding| match finding {
        Finding::CannotPrepare { reason, not_with } if not_with.is_empty() => Some(reason),
        _ => None,
    });
    let reason = reason.unwrap_or_else(|| panic!("{report}"));
    assert!(
        reason.contains("Galera") && reason.contains("no XA"),
        "{reason}"
    );
    assert!(
        reason.contains("the other binds of its units must prepare"),
        "{reason}"
    );
    assert_eq!(report.severity(), Severity::Info, "{report}");
}

/// Neither can prepare, and both are told before the second writes.
#[tokio::test]
async fn two_binds_of_which_neither_prepares_do_not_write_in_one_unit() {
    async fn refused<S: Sides>(second: &'static str, reason: &str) {
        let world = World::of::<S>(PoolKind::Deadpool).await;
        let mut session = world.binds.session();
        let error = S::write(&session, "torn").await.unwrap_err();
        assert!(
            matches!(&error, Error::NotAtomic { first: "galera-a", second: named, reason: why }
                if *named == second && why.contains(reason)),
            "{error:?}"
        );
        // The unit goes on without the statement that was refused.
        let committed = session.commit_all().await;
        assert!(
            !matches!(committed, Err(CommitError::NotAtomic { .. })),
            "{committed:?}"
        );
        assert_eq!(S::rows(&world).await[1], [""; 0]);
    }

    refused::<(GaleraA, GaleraB)>("galera-b", "Galera").await;
    refused::<(GaleraA, Sqlite)>("lite", "SQLite").await;
}
