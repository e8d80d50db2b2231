//! The response to an error: a status and one fixed sentence, without any text of a database.

use diesel::result::{DatabaseErrorKind as Kind, Error as DieselError};
use http::StatusCode;

use crate::commit::{CommitError, Fault};
use crate::error::{AbortReason, Error};

/// Returns the status of the response to a request that ended with this error.
///
/// | status | means |
/// |---|---|
/// | 404 Not Found | a query found no row |
/// | 409 Conflict | a unique, foreign key, check or exclusion constraint, a serialization failure, or the veto of a hook |
/// | 503 Service Unavailable | no connection, a lost or stale one, no reply in time, a closed registry, or a deadline that passed: the unit is rolled back, and may work later |
/// | 504 Gateway Timeout | **it is not known whether the unit was committed**: [`CommitError::is_in_doubt`]. Do not repeat the request before you know |
/// | 500 Internal Server Error | everything else, such as a deadlock that was not retried |
///
/// This is the only use of 504, so that a client can recognize the one case in which it must not repeat the request.
/// Configure proxies not to repeat requests after a 504.
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
            | Fault::DeadlineExceeded
            | Fault::HookTimedOut { .. } => StatusCode::SERVICE_UNAVAILABLE,
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

/// Returns the whole body of a response with this status.
pub(super) fn sentence(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "Not found.",
        StatusCode::CONFLICT => "It conflicts with stored data, or with another request.",
        StatusCode::SERVICE_UNAVAILABLE => "It cannot be done now.",
        StatusCode::GATEWAY_TIMEOUT => {
            "It is not known yet whether it was done: do not repeat it before you have asked."
        }
        _ => "Something went wrong.",
    }
}

/// Returns the status of the response to an error, and logs the error with the texts of the databases.
pub(super) fn logged_status_of(error: &Error) -> StatusCode {
    let status = status_of(error);
    if status.is_server_error() {
        tracing::error!(?error, status = status.as_u16(), "a request failed");
    } else {
        tracing::debug!(?error, status = status.as_u16(), "a request failed");
    }
    status
}

/// Returns the response to an error, and logs the error.
pub(super) fn response<B: From<&'static str>>(error: &Error) -> http::Response<B> {
    let status = logged_status_of(error);
    let mut response = http::Response::new(B::from(sentence(status)));
    *response.status_mut() = status;
    let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, plain);
    response
}
