//! The arguments and responses of handlers of axum.

use axum_core::body::Body;
use axum_core::extract::{FromRef, FromRequestParts};
use axum_core::response::{IntoResponse, Response};
use diesel_binds_derive::ErrorDebug;
use http::request::Parts;

use crate::commit::CommitError;
use crate::error::Error;
use crate::registry::Binds;
use crate::scope::{Scope, current};
use crate::session::Session;
use crate::web::service::CommitsOnSuccess;
use crate::web::status;

/// Extracts the session that [`BindsLayer`](super::BindsLayer) gave the request, as `current()` returns it. The layer
/// ends it.
///
/// The rejection is [`Error::NoScope`], if the route has no layer.
impl<S: Sync> FromRequestParts<S> for Scope {
    type Rejection = Error;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Error> {
        current()
    }
}

/// Extracts a new session for the request, from the [`Binds`] in the state. No layer is needed: the handler commits.
/// When it drops the session, uncommitted work is rolled back.
///
/// Refused under a [`BindsLayer`](super::BindsLayer) that commits on success. That layer commits its own session, and
/// this one would be rolled back silently. Take [`Scope`] there.
impl<S: Sync> FromRequestParts<S> for Session
where
    Binds: FromRef<S>,
{
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, SessionRejection> {
        if parts.extensions.get::<CommitsOnSuccess>().is_some() {
            return Err(SessionRejection(()));
        }
        Ok(Binds::from_ref(state).session())
    }
}

/// The rejection of a `Session` argument under a layer that commits its own session. A mistake in the program.
#[derive(ErrorDebug, thiserror::Error)]
#[error(
    "the `BindsLayer` of this route commits its own session on success, and not the `Session` that the handler takes: take \
     `diesel_binds::Scope` instead"
)]
pub struct SessionRejection(());

impl IntoResponse for SessionRejection {
    fn into_response(self) -> Response {
        tracing::error!(error = %self, "a request failed");
        let status = http::StatusCode::INTERNAL_SERVER_ERROR;
        (status, status::sentence(status)).into_response()
    }
}

/// Responds with a status and one fixed sentence, by [`status_of`](super::status_of). The texts of the databases go to
/// the log.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        status::response::<Body>(&self)
    }
}

/// Responds like [`Error`].
impl IntoResponse for CommitError {
    fn into_response(self) -> Response {
        Error::from(self).into_response()
    }
}
