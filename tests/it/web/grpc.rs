//! Calls of gRPC: the status of HTTP is 200, also of a call that failed.

use kit::side::Side as _;
use tonic::{Code, Status};

use super::*;

/// Returns the response to a unary call that succeeded. Its status comes behind the body.
fn success() -> Response<Body> {
    let mut response = Response::new(Body::from("a message"));
    let kind = "application/grpc+proto".parse().unwrap();
    response.headers_mut().insert("content-type", kind);
    response
}

#[tokio::test]
async fn a_call_that_failed_is_rolled_back() {
    let world = world().await;
    let layer = BindsLayer::new(world.binds.clone()).commit_on_success();
    for code in (0..=16).map(Code::from_i32) {
        let name = format!("{code:?}");
        let handled = request(&layer, async move {
            note(&name).await.unwrap();
            Status::new(code, "as the handler said it").into_http()
        });
        let response = handled.await;
        assert_eq!(response.status(), StatusCode::OK);
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!(
            (status.code(), status.message()),
            (code, "as the handler said it")
        );
    }
    let handled = request(&layer, async {
        note("unary").await.unwrap();
        success()
    });
    let (status, body) = read(handled.await).await;
    assert_eq!((status, &*body), (StatusCode::OK, "a message"));
    both_have(&world, &["Ok", "unary"]).await;
}

#[tokio::test]
async fn a_call_whose_unit_was_not_committed_gets_a_code() {
    let world = world().await;
    let deferred = "ALTER TABLE notes ADD CONSTRAINT once UNIQUE (text) DEFERRABLE INITIALLY DEFERRED, \
                    DROP CONSTRAINT notes_text_key";
    PostgresA::admin(&world.databases[0], deferred).await;
    let layer = BindsLayer::new(world.binds.clone()).commit_on_success();
    let insert = || {
        request(&layer, async {
            let insert = diesel::insert_into(postgres_a::notes::table);
            let insert = insert.values(postgres_a::notes::text.eq("once"));
            insert.execute(&current().unwrap()).await.unwrap();
            success()
        })
    };
    assert_eq!(read(insert().await).await.1, "a message");
    let response = insert().await;
    let status = Status::from_header_map(response.headers()).unwrap();
    assert_eq!(status.code(), Code::Aborted);
    assert_eq!(read(response).await, (StatusCode::OK, String::new()));
    assert_eq!(PostgresA::rows(&world.databases[0]).await, ["once"]);
}
