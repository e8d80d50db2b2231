//! Calls of gRPC, whose HTTP status is always 200. The head of a response has the status of the call only if the response
//! has no body, as that of a unary call that failed.

use http::{HeaderValue, Response, StatusCode, header, response};

use crate::error::Error;
use crate::web::status::{logged_status_of, sentence};

const STATUS: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";
const CONTENT_TYPE: &str = "application/grpc";

/// Returns whether the head of a response says that its call failed.
pub(super) fn has_failed(head: &response::Parts) -> bool {
    head.headers.get(STATUS).is_some_and(|code| code != "0")
}

/// Returns whether the head is that of a call of gRPC.
pub(super) fn is_call(head: &response::Parts) -> bool {
    head.headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(CONTENT_TYPE.as_bytes()))
}

/// Returns the response in place of one with this head, to a call whose unit was not committed. Logs the error with the
/// texts of the databases.
pub(super) fn response<B: From<&'static str>>(
    head: &response::Parts,
    error: &Error,
) -> Response<B> {
    let status = logged_status_of(error);
    let mut response = Response::new(B::from(""));
    let headers = response.headers_mut();
    headers.extend(
        head.headers
            .get(header::CONTENT_TYPE)
            .map(|kind| (header::CONTENT_TYPE, kind.clone())),
    );
    headers.insert(STATUS, HeaderValue::from_static(code(status)));
    headers.insert(MESSAGE, HeaderValue::from_static(sentence(status)));
    response
}

/// Returns the code for a status. `UNAVAILABLE` invites clients to repeat a call, so an unknown outcome must not have it.
fn code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "5",
        StatusCode::CONFLICT => "10",
        StatusCode::SERVICE_UNAVAILABLE => "14",
        StatusCode::GATEWAY_TIMEOUT => "2",
        _ => "13",
    }
}
