//! Answers that are no: one clear sentence as JSON.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Json, OriginalUri, Query};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;
use tidegate::{LockError, StoreError, UnknownPlatform};

/// A refusal of a request: `{"error": "…"}`.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    message: String,
}

impl Problem {
    /// A mistake in the request.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into() }
    }

    /// A request that is not served from where it comes.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, message: message.into() }
    }

    /// What was asked for is somebody else's now.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, message: message.into() }
    }

    /// There is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, message: message.into() }
    }

    /// A fault of our own.
    pub fn broken(message: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, message: message.into() }
    }

    /// No or a wrong token.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, message: message.into() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.message }))).into_response()
    }
}

impl From<UnknownPlatform> for Problem {
    fn from(unknown: UnknownPlatform) -> Self {
        Self { status: StatusCode::NOT_FOUND, message: unknown.to_string() }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message: error.to_string() }
    }
}

impl From<LockError> for Problem {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Invalid(message) => Self::bad_request(message),
            LockError::Store(error) => error.into(),
        }
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self { status: rejection.status(), message: rejection.body_text() }
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self { status: rejection.status(), message: rejection.body_text() }
    }
}

/// A JSON body whose mistakes are told as a [`Problem`].
#[derive(FromRequest)]
#[from_request(via(Json), rejection(Problem))]
pub struct Input<T>(pub T);

/// Query parameters whose mistakes are told as a [`Problem`].
#[derive(FromRequestParts)]
#[from_request(via(Query), rejection(Problem))]
pub struct Params<T>(pub T);

/// There is nothing at this path.
pub async fn no_such_route(OriginalUri(uri): OriginalUri) -> Problem {
    Problem {
        status: StatusCode::NOT_FOUND,
        message: format!("nothing at {}; see the README for the routes", uri.path()),
    }
}
