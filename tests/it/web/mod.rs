//! Requests: each has a session of its own, and no success is sent for a unit that was not committed.

mod ending;
mod extractors;
mod failing;
mod grpc;

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use diesel::prelude::*;
use diesel_binds::web::BindsLayer;
use diesel_binds::{Error, RunQueryDsl, Session, current};
use futures_util::future::join_all;
use http::{Request, Response, StatusCode};
use kit::side::{MariadbA, PoolKind, PostgresA, postgres_a};
use kit::world::{Sides as _, World};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::suite::scoped::{POOL, Two, both_have, note, world};

/// Sends one request to a handler under the layer.
async fn request<F>(layer: &BindsLayer, handler: F) -> Response<Body>
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let mut handler = Some(handler);
    let service = service_fn(move |_: Request<Body>| {
        let handler = handler.take().expect("one request");
        async { Ok::<_, Infallible>(handler.await) }
    });
    let request = Request::new(Body::empty());
    layer.layer(service).oneshot(request).await.unwrap()
}

fn with_status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::from("as the handler wrote it"));
    *response.status_mut() = status;
    response
}

/// Returns the status and the body.
async fn read(response: Response<Body>) -> (StatusCode, String) {
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// Long enough for a request that is to be cut short.
const SOON: Duration = Duration::from_millis(300);
