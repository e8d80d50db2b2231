//! What a client hears of an error: a status and one fixed sentence, and nothing that a database said.

use diesel::result::{DatabaseErrorKind as Kind, Error as DieselError};
use http::StatusCode;

use crate::commit::{CommitError, Fault};
use crate::error::{AbortReason, Error};

/// The status of a response to a request that ended with this error.
///
/// | status | means |
/// |---|---|
/// | 404 Not Found | a query found no row |
/// | 409 Conflict | a database refused it for what other data or other units say (a constraint, a serialization failure), or a hook vetoed it |
/// | 503 Service Unavailable | no connection, no reply in time, or the deadline passed: it is rolled back, and may work later |
/// | 504 Gateway Timeout | **nobody knows yet whether it was committed**: [`CommitError::is_in_doubt`]. It must not be repeated before somebody has asked |
/// | 500 Internal Server Error | everything else |
///
/// 504 stands for nothing else here, so that a client can tell the one case in which it must not repeat the request.
/// Keep proxies from repeating requests by themselves after a 504.
#[must_use]
pub fn status_of(error: &Error) -> StatusCode {
    match error {
        Error::Query { source, .. } => of_diesel(source),
        Error::StaleConnection { .. }
        | Error::Begin { .. }
        | Error::Pool { .. }
        | Error::DeadlineExceeded { .. }
        | Error::Closed { .. }
        | Error::AbortOnly {
            reason: AbortReason::DeadlineExceeded,
            ..
        } => StatusCode::SERVICE_UNAVAILABLE,
        Error::Commit(error) => of_commit(error),
        Error::Retried { source, .. } => status_of(source),
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn of_commit(error: &CommitError) -> StatusCode {
    match error {
        error if error.is_in_doubt() => StatusCode::GATEWAY_TIMEOUT,
        CommitError::Vetoed { .. } => StatusCode::CONFLICT,
        CommitError::RolledBack { source, .. } => match source {
            Fault::Refused(source) => of_diesel(source),
            Fault::Lost(_)
            | Fault::Unreached(_)
            | Fault::TimedOut
            | Fault::Connect(_)
            | Fault::DeadlineExceeded => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        },
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn of_diesel(error: &DieselError) -> StatusCode {
    match error {
        DieselError::NotFound => StatusCode::NOT_FOUND,
        DieselError::DatabaseError(kind, _) => match kind {
            Kind::UniqueViolation
            | Kind::ForeignKeyViolation
            | Kind::RestrictViolation
            | Kind::ExclusionViolation
            | Kind::CheckViolation
            | Kind::SerializationFailure => StatusCode::CONFLICT,
            Kind::ClosedConnection | Kind::UnableToSendCommand => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        },
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// All that a body says.
pub(super) fn sentence(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "Not found.",
        StatusCode::CONFLICT => "It conflicts with what is stored, or with another request.",
        StatusCode::SERVICE_UNAVAILABLE => "It cannot be done now.",
        StatusCode::GATEWAY_TIMEOUT => {
            "It is not known yet whether it was done: do not repeat it before you have asked."
        }
        _ => "Something went wrong.",
    }
}

/// The whole response. What went wrong goes to the log instead, with all that the databases said.
pub(super) fn response<B: From<&'static str>>(error: &Error) -> http::Response<B> {
    let status = status_of(error);
    if status.is_server_error() {
        tracing::error!(?error, status = status.as_u16(), "a request failed");
    } else {
        tracing::debug!(?error, status = status.as_u16(), "a request failed");
    }
    let mut response = http::Response::new(B::from(sentence(status)));
    *response.status_mut() = status;
    let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, plain);
    response
}
