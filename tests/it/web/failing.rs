//! A commit that fails after the handler: the response to the client.

use diesel_binds::testing::{Effect, FaultPlan};
use diesel_binds::web::status_of;
use diesel_binds::{CommitError, SessionOptions};
use kit::side::Side as _;

use super::*;

/// Runs a request that writes on both binds, and whose commit has these faults.
async fn failing(world: &World, faults: &FaultPlan) -> (StatusCode, String) {
    let layer = BindsLayer::new(world.binds.clone())
        .options(SessionOptions::new().faults(faults))
        .commit_on_success();
    let handled = request(&layer, async {
        note("gone").await.unwrap();
        with_status(StatusCode::OK)
    });
    read(handled.await).await
}

#[tokio::test]
async fn a_commit_that_fails_makes_the_success_an_error() {
    let world = world().await;
    let refused = FaultPlan::new().at("prepare:pg-a:before", Effect::Refuse);
    let (status, body) = failing(&world, &refused).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{body}");
    assert_eq!(body, "Something went wrong.");
    both_have(&world, &[]).await;
}

#[tokio::test]
async fn a_server_that_goes_away_is_unavailable() {
    let world = world().await;
    let lost = FaultPlan::new().at("prepare:pg-a:before", Effect::Disconnect);
    let (status, body) = failing(&world, &lost).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert_eq!(body, "It cannot be done now.");
    assert_eq!(MariadbA::rows(&world.databases[1]).await, [""; 0]);
    assert_eq!(PostgresA::rows(&world.databases[0]).await, [""; 0]);
}

#[tokio::test]
async fn an_outcome_that_nobody_knows_has_a_status_of_its_own() {
    let world = world().await;
    let in_doubt = FaultPlan::new()
        .at("decide:my-a:after", Effect::Disconnect)
        .at("resolve:my-a:before", Effect::Disconnect);
    let (status, body) = failing(&world, &in_doubt).await;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT, "{body}");
    assert!(body.contains("do not repeat it"), "{body}");
}

/// The constraint is checked only at the commit.
#[tokio::test]
async fn a_conflict_found_by_the_commit_is_a_conflict() {
    let world = world().await;
    let deferred = "ALTER TABLE notes ADD CONSTRAINT once UNIQUE (text) DEFERRABLE INITIALLY DEFERRED; \
                    ALTER TABLE notes DROP CONSTRAINT notes_text_key";
    PostgresA::admin(&world.databases[0], deferred).await;
    let layer = BindsLayer::new(world.binds.clone()).commit_on_success();
    for (expected, said) in [
        (StatusCode::OK, "as the handler wrote it"),
        (
            StatusCode::CONFLICT,
            "It conflicts with stored data, or with another request.",
        ),
    ] {
        let handled = request(&layer, async {
            let insert = diesel::insert_into(postgres_a::notes::table);
            let insert = insert.values(postgres_a::notes::text.eq("once"));
            insert.execute(&current().unwrap()).await.unwrap();
            with_status(StatusCode::OK)
        });
        let (status, body) = read(handled.await).await;
        assert_eq!((status, &*body), (expected, said));
    }
    assert_eq!(PostgresA::rows(&world.databases[0]).await, ["once"]);
}

#[tokio::test]
async fn a_handler_that_swallows_an_error_of_a_query_cannot_succeed() {
    let world = world().await;
    let layer = BindsLayer::new(world.binds.clone()).commit_on_success();
    let handled = request(&layer, async {
        note("gone").await.unwrap();
        let broken = diesel::sql_query("SELECT nonsense");
        let _ = broken.execute(&current().unwrap().on(PostgresA)).await;
        with_status(StatusCode::OK)
    });
    let (status, body) = read(handled.await).await;
    assert!(status.is_server_error(), "{status}");
    assert!(!body.contains("nonsense"), "{body}");
    both_have(&world, &[]).await;
}

/// The handler leaves a task whose writes would belong to the unit or not, by chance.
#[tokio::test]
async fn a_handler_that_leaves_a_task_behind_in_a_query_cannot_succeed() {
    let world = world().await;
    let layer = BindsLayer::new(world.binds.clone()).commit_on_success();
    let handled = request(&layer, async {
        note("gone").await.unwrap();
        let _left_behind = current().unwrap().spawn(async {
            let slow = diesel::sql_query("SELECT pg_sleep(1)");
            slow.execute(&current().unwrap().on(PostgresA)).await
        });
        tokio::time::sleep(SOON).await;
        with_status(StatusCode::OK)
    });
    let (status, body) = read(handled.await).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{body}");
    both_have(&world, &[]).await;
}

#[tokio::test]
async fn no_body_repeats_what_a_database_said() {
    use axum::response::IntoResponse as _;

    let world = world().await;
    let session = world.binds.session();
    PostgresA::write(&session, "secret text").await.unwrap();
    let twice = PostgresA::write(&session, "secret text").await.unwrap_err();
    assert_eq!(status_of(&twice), StatusCode::CONFLICT);
    let broken = PostgresA::sql(&world.binds.session(), "SELECT secret").await;
    let broken = broken.unwrap_err();
    assert_eq!(status_of(&broken), StatusCode::INTERNAL_SERVER_ERROR);
    let commit = CommitError::InsideTransaction;
    for response in [
        twice.into_response(),
        broken.into_response(),
        commit.into_response(),
    ] {
        let (status, body) = read(response).await;
        assert!(status.is_client_error() || status.is_server_error());
        assert!(!body.is_empty());
        assert!(!body.contains("secret"), "{body}");
    }
}

/// A `COMMIT` of the handler keeps its writes: the request must not be repeated before the data were examined.
#[tokio::test]
async fn a_handler_that_commits_in_text_is_never_called_undone() {
    let world = world().await;
    let layer = BindsLayer::new(world.binds.clone()).commit_on_success();
    let handled = request(&layer, async {
        note("kept").await.unwrap();
        let commit = diesel::sql_query("COMMIT");
        commit
            .execute(&current().unwrap().on(PostgresA))
            .await
            .unwrap();
        with_status(StatusCode::OK)
    });
    let (status, body) = read(handled.await).await;
    assert_eq!(PostgresA::rows(&world.databases[0]).await, ["kept"]);
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT, "{body}");
    assert!(body.contains("do not repeat it"), "{body}");
}
