//! Errors of requests.

use std::fmt;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use tidegate::{LockError, StoreError, UnknownPlatform};
use tidegate_core::text::one_line;
use utoipa::ToSchema;

/// The maximum length of a message, in characters. A message can repeat a part of the request.
const MAX_MESSAGE_LENGTH: usize = 1_000;

/// The body of an error response.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Error)]
pub struct ErrorBody {
    /// The error message.
    pub error: String,
}

/// An error response: a status and the body `{"error": "…"}`.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    message: String,
}

impl ApiError {
    /// Creates an error with any status. Control characters in the message are escaped, and a long message is
    /// truncated.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: one_line(&message.into(), MAX_MESSAGE_LENGTH) }
    }

    /// Creates a 400 error: the request is invalid.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Creates a 401 error: the bearer token is missing or wrong.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    /// Creates a 403 error: requests from this origin are not allowed.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// Creates a 404 error: the resource does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// Creates a 409 error: another owner has the resource now.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// Creates a 422 error: a field is missing, unknown or of the wrong type.
    pub fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    /// Creates a 500 error: the server failed.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// Returns the HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

impl From<ApiError> for ErrorBody {
    fn from(error: ApiError) -> Self {
        Self { error: error.message }
    }
}

impl From<UnknownPlatform> for ApiError {
    fn from(error: UnknownPlatform) -> Self {
        Self::not_found(error.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<LockError> for ApiError {
    fn from(error: LockError) -> Self {
        let message = error.to_string();
        if error.is_invalid() {
            return Self::bad_request(message);
        }
        if error.held().is_some() {
            return Self::conflict(message);
        }
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }
}
