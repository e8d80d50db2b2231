//! The refusals of the service, and their responses.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why a request was not done. Its unit is rolled back by its status.
#[derive(Debug)]
pub(crate) enum Refusal {
    NoSuchAccount,
    NotEnough,
    AmountNotPositive,
    /// Already a payment of that reference.
    AlreadyPaid,
    /// A database said no.
    Failed(diesel_binds::Error),
}

impl From<diesel_binds::Error> for Refusal {
    fn from(error: diesel_binds::Error) -> Self {
        Self::Failed(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, said) = match self {
            Self::NoSuchAccount => (StatusCode::NOT_FOUND, "no such account"),
            Self::NotEnough => (StatusCode::CONFLICT, "not enough on the account"),
            Self::AmountNotPositive => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "the amount is not above 0",
            ),
            Self::AlreadyPaid => (StatusCode::CONFLICT, "the reference is already paid"),
            // A status and a fixed sentence: 504 is the one after which a client must ask before it repeats.
            Self::Failed(error) => return error.into_response(),
        };
        (status, Json(json!({ "error": said }))).into_response()
    }
}
