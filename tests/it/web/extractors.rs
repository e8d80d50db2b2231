//! The arguments of axum handlers: the binds, a session of their own, the session of the layer.

use axum::Router;
use axum::extract::{FromRef, State};
use axum::routing::{get, post};
use diesel_binds::{Binds, Commit, Scope};

use super::*;

/// The state of an application that has more than binds.
#[derive(Clone)]
struct App {
    binds: Binds,
    greeting: &'static str,
}

impl FromRef<App> for Binds {
    fn from_ref(app: &App) -> Self {
        app.binds.clone()
    }
}

async fn explicit(State(greeting): State<App>, mut session: Session) -> Result<String, Error> {
    Two::write(&session, "by a session").await?;
    let _: Commit = session.commit_all().await?;
    Two::write(&session, "not committed").await?;
    Ok(greeting.greeting.to_owned())
}

async fn scoped(scope: Scope) -> Result<&'static str, Error> {
    assert_eq!(scope.unit(), current()?.unit());
    note("by a scope").await?;
    Ok("hello")
}

async fn stated(State(binds): State<Binds>) -> Result<&'static str, Error> {
    binds
        .transaction::<_, Error, _>(async |session| Two::write(session, "by the binds").await)
        .await?;
    Ok("hello")
}

async fn get_from(router: &Router, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    read(router.clone().oneshot(request).await.unwrap()).await
}

#[tokio::test]
async fn a_handler_takes_a_session_of_its_own_and_commits_it() {
    let world = world().await;
    let router = Router::new()
        .route("/explicit", get(explicit))
        .route("/stated", get(stated))
        .with_state(App {
            binds: world.binds.clone(),
            greeting: "hello",
        });
    for path in ["/explicit", "/stated"] {
        let response = get_from(&router, path).await;
        assert_eq!(response, (StatusCode::OK, "hello".to_owned()));
    }
    both_have(&world, &["by a session", "by the binds"]).await;
}

#[tokio::test]
async fn a_handler_takes_the_session_of_the_layer_and_the_layer_commits_it() {
    let world = world().await;
    let router = Router::new()
        .route("/scoped", get(scoped))
        .layer(BindsLayer::new(world.binds.clone()).commit_on_success());
    let response = get_from(&router, "/scoped").await;
    assert_eq!(response, (StatusCode::OK, "hello".to_owned()));
    both_have(&world, &["by a scope"]).await;
    // The rows exist already, and `text` is unique.
    let (status, body) = get_from(&router, "/scoped").await;
    assert_eq!(status, StatusCode::CONFLICT, "{body}");
    assert!(!body.contains("by a scope"), "{body}");
}

#[tokio::test]
async fn a_session_that_no_layer_gave_is_an_error_of_the_server() {
    let router = Router::new().route("/scoped", get(scoped));
    let (status, body) = get_from(&router, "/scoped").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{body}");
}

/// Without this refusal, the session would be rolled back silently, under a layer that promises to commit.
#[tokio::test]
async fn a_session_beside_one_that_the_layer_commits_is_refused() {
    let world = world().await;
    let layer = BindsLayer::new(world.binds.clone());
    let router = |layer: BindsLayer| {
        let app = App {
            binds: world.binds.clone(),
            greeting: "hello",
        };
        Router::new()
            .route("/explicit", get(explicit).layer(layer))
            .with_state(app)
    };
    let (status, body) = get_from(&router(layer.clone().commit_on_success()), "/explicit").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{body}");
    both_have(&world, &[]).await;
    let (status, _) = get_from(&router(layer), "/explicit").await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn each_route_may_end_its_units_in_its_own_way() {
    let world = world().await;
    let by_hand = BindsLayer::new(world.binds.clone());
    let router = Router::new()
        .route(
            "/read",
            get(async || {
                note("only read").await?;
                Ok::<_, Error>("hello")
            })
            .layer(by_hand.clone()),
        )
        .route("/write", post(scoped).layer(by_hand.commit_on_success()));
    assert_eq!(get_from(&router, "/read").await.0, StatusCode::OK);
    let request = Request::post("/write").body(Body::empty()).unwrap();
    let written = router.oneshot(request).await.unwrap();
    assert_eq!(written.status(), StatusCode::OK);
    both_have(&world, &["by a scope"]).await;
}
