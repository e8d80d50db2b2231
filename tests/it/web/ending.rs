//! The end of a request's unit: by hand, by the status, by a veto, by a panic, by a client that disconnected.

use std::future::pending;
use std::panic::AssertUnwindSafe;

use diesel_binds::{BindOptions, Binds, Scope, SessionOptions};
use futures_util::{FutureExt as _, stream};
use kit::side::Side as _;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;

#[tokio::test]
async fn the_handler_commits_by_default() {
    let world = world().await;
    let layer = BindsLayer::new(world.binds.clone());
    let handled = request(&layer, async {
        note("kept").await.unwrap();
        current().unwrap().commit_all().await.unwrap();
        note("not committed").await.unwrap();
        with_status(StatusCode::OK)
    });
    let (status, body) = read(handled.await).await;
    assert_eq!(
        (status, &*body),
        (StatusCode::OK, "as the handler wrote it")
    );
    both_have(&world, &["kept"]).await;
}

#[tokio::test]
async fn a_success_is_committed_when_asked_for_and_an_error_status_rolled_back() {
    let world = world().await;
    let layer = BindsLayer::new(world.binds.clone()).commit_on_success();
    for status in [200, 201, 302, 399, 400, 404, 409, 500, 503, 599] {
        let status = StatusCode::from_u16(status).unwrap();
        let handled = request(&layer, async move {
            note(status.as_str()).await.unwrap();
            with_status(status)
        });
        let (received, body) = read(handled.await).await;
        assert_eq!((received, &*body), (status, "as the handler wrote it"));
    }
    both_have(&world, &["200", "201", "302", "399"]).await;
}

#[tokio::test]
async fn a_veto_on_the_response_rolls_back_and_lets_it_go_out() {
    let world = world().await;
    let layer = BindsLayer::new(world.binds.clone())
        .commit_on_success_unless(|response| response.headers.contains_key("x-dry-run"));
    let dry = request(&layer, async {
        note("dry").await.unwrap();
        let mut response = with_status(StatusCode::OK);
        let headers = response.headers_mut();
        headers.insert("x-dry-run", "yes".parse().unwrap());
        response
    });
    assert_eq!(dry.await.status(), StatusCode::OK);
    let wet = request(&layer, async {
        note("wet").await.unwrap();
        with_status(StatusCode::OK)
    });
    assert_eq!(wet.await.status(), StatusCode::OK);
    let error = request(&layer, async {
        note("no veto makes an error a success").await.unwrap();
        with_status(StatusCode::BAD_REQUEST)
    });
    assert_eq!(error.await.status(), StatusCode::BAD_REQUEST);
    both_have(&world, &["wet"]).await;
}

#[tokio::test]
async fn an_error_of_the_service_rolls_back() {
    let world = world().await;
    let layer = BindsLayer::new(world.binds.clone()).commit_on_success();
    let service = layer.layer(service_fn(|_: Request<()>| async {
        note("gone").await.unwrap();
        Err::<Response<Body>, _>("as the service says it")
    }));
    let error = service.oneshot(Request::new(())).await.unwrap_err();
    assert_eq!(error, "as the service says it");
    both_have(&world, &[]).await;
}

#[tokio::test]
async fn a_panic_or_a_client_that_hangs_up_rolls_back() {
    let world = world().await;
    let layer = BindsLayer::new(world.binds.clone()).commit_on_success();
    // More often than a pool has connections.
    for _ in 0..POOL {
        let panicking = request(&layer, async {
            note("panic").await.unwrap();
            panic!("as a handler does")
        });
        assert!(AssertUnwindSafe(panicking).catch_unwind().await.is_err());

        let (begin, begun) = oneshot::channel();
        let mut hung_up = Box::pin(request(&layer, async {
            note("hung up").await.unwrap();
            begin.send(()).unwrap();
            pending().await
        }));
        tokio::select! {
            _ = &mut hung_up => unreachable!("it waits for ever"),
            result = begun => result.unwrap(),
        }
        drop(hung_up);
    }
    both_have(&world, &[]).await;
}

#[tokio::test]
async fn a_commit_or_roll_back_of_the_handler_stays() {
    let world = world().await;
    let layer = BindsLayer::new(world.binds.clone()).commit_on_success();
    let handled = request(&layer, async {
        let scope = current().unwrap();
        note("kept").await.unwrap();
        scope.commit_all().await.unwrap();
        note("gone").await.unwrap();
        scope.rollback_all().await.unwrap();
        with_status(StatusCode::CREATED)
    });
    assert_eq!(handled.await.status(), StatusCode::CREATED);
    both_have(&world, &["kept"]).await;
}

#[tokio::test]
async fn a_request_that_runs_no_query_opens_nothing() {
    // Nothing listens at this address, so that a checkout would fail.
    let url = "postgres://nobody@127.0.0.1:1/nothing";
    let (pool, options) = (PoolKind::Deadpool, BindOptions::new());
    let builder = Binds::builder().namespace("nothing");
    let builder = PostgresA::register(builder, url, pool, 1, options).await;
    let binds = builder.build().unwrap();
    let by_hand = BindsLayer::new(binds);
    // This also holds if the request takes longer than the deadline of a unit.
    let late = SessionOptions::new().deadline(SOON / 10);
    let on_success = by_hand.clone().commit_on_success();
    for layer in [by_hand, on_success.clone(), on_success.options(late)] {
        let handled = request(&layer, async {
            tokio::time::sleep(SOON / 5).await;
            with_status(StatusCode::OK)
        });
        assert_eq!(handled.await.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn the_commit_comes_before_a_streaming_body() {
    let world = world().await;
    let layer = BindsLayer::new(world.binds.clone()).commit_on_success();
    let (say, said) = oneshot::channel::<(Result<Scope, Error>, Result<(), Error>)>();
    let handled = request(&layer, async {
        note("kept").await.unwrap();
        let scope = current().unwrap();
        Response::new(Body::from_stream(stream::once(async move {
            let outside = current();
            let query = postgres_a::notes::table.select(postgres_a::notes::text);
            let late = query.load::<String>(&scope).await.map(drop);
            let _ = say.send((outside, late));
            Err::<String, _>(std::io::Error::other("the body broke"))
        })))
    });
    let response = handled.await;
    assert_eq!(response.status(), StatusCode::OK);
    both_have(&world, &["kept"]).await;
    assert!(to_bytes(response.into_body(), 1 << 16).await.is_err());
    let (outside, late) = said.await.unwrap();
    assert!(matches!(outside, Err(Error::NoScope)));
    assert!(matches!(late, Err(Error::ScopeEnded)));
    both_have(&world, &["kept"]).await;
}

/// All requests run on one thread, and outnumber the connections of the pools.
#[tokio::test]
async fn each_of_a_thousand_requests_on_one_thread_sees_only_its_own_session() {
    const REQUESTS: u32 = 1_000;

    async fn handle(number: u32) -> Result<StatusCode, Error> {
        use postgres_a::notes::dsl::{notes, text};

        let unit = current()?.unit();
        let name = format!("request {number}");
        tokio::task::yield_now().await;
        let insert = diesel::insert_into(notes).values(text.eq(&name));
        insert.execute(&current()?).await?;
        tokio::task::yield_now().await;
        // The rows of this transaction.
        let own = "xmin::text = pg_current_xact_id_if_assigned()::text";
        let own = notes.filter(diesel::dsl::sql::<diesel::sql_types::Bool>(own));
        let own: Vec<String> = own.select(text).load(&current()?).await?;
        assert_eq!(own, [name]);
        assert_eq!(current()?.unit(), unit);
        Ok(match number.is_multiple_of(3) {
            true => StatusCode::OK,
            false => StatusCode::CONFLICT,
        })
    }

    let world = World::of::<(PostgresA,)>(PoolKind::Deadpool).await;
    let layer = BindsLayer::new(world.binds.clone()).commit_on_success();
    let requests = (0..REQUESTS).map(|number| {
        let layer = layer.clone();
        let handler = async move { with_status(handle(number).await.unwrap()) };
        tokio::spawn(async move { request(&layer, handler).await.status() })
    });
    let statuses = join_all(requests).await;
    let kept = statuses.into_iter().filter(|status| match status {
        Ok(status) => *status == StatusCode::OK,
        Err(failed) => panic!("{failed}"),
    });
    assert_eq!(kept.count(), 334);
    assert_eq!(PostgresA::rows(&world.databases[0]).await.len(), 334);
}

/// A timeout above the layer has the same effect as a client that disconnects.
#[tokio::test]
async fn a_request_cut_short_in_a_query_rolls_back() {
    let world = world().await;
    let layer = BindsLayer::new(world.binds.clone()).commit_on_success();
    let handled = request(&layer, async {
        note("gone").await.unwrap();
        let slow = diesel::sql_query("SELECT pg_sleep(5)");
        let _ = slow.execute(&current().unwrap().on(PostgresA)).await;
        with_status(StatusCode::OK)
    });
    assert!(timeout(SOON, handled).await.is_err());
    both_have(&world, &[]).await;
}
