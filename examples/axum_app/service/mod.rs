//! The routes, and how their units end.

pub(crate) mod accounts;
pub(crate) mod payments;
pub(crate) mod refusal;
pub(crate) mod schema;

use axum::Router;
use axum::routing::{get, post};
use diesel_binds::Binds;
use diesel_binds::web::BindsLayer;
use tower_http::catch_panic::CatchPanicLayer;

/// All routes.
pub(crate) fn router(binds: &Binds) -> Router {
    let routes = Router::new()
        .route("/accounts", post(accounts::open))
        .route("/accounts/{id}", get(accounts::show))
        .route("/payments", post(payments::pay))
        .route("/payments/{reference}", get(payments::show));
    in_units(routes, binds)
}

/// Gives each request a unit over both databases: committed on success, rolled back on an error, a panic, and a client
/// that hangs up.
pub(crate) fn in_units(routes: Router, binds: &Binds) -> Router {
    routes
        .layer(BindsLayer::new(binds.clone()).commit_on_success())
        .layer(CatchPanicLayer::new()) // outside: the panic passes the unit first
}
