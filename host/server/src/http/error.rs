//! API errors, and extractors that report malformed requests as API errors.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Json, OriginalUri, Query};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;
use tidegate::{LockError, StoreError, UnknownPlatform};

/// An error response: a status and the JSON body `{"error": "…"}`.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    message: String,
}

impl ApiError {
    /// Returns a 400 error: the request is invalid.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into() }
    }

    /// Returns a 401 error: the bearer token is missing or wrong.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, message: message.into() }
    }

    /// Returns a 403 error: requests from this origin are not allowed.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, message: message.into() }
    }

    /// Returns a 404 error: the resource does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, message: message.into() }
    }

    /// Returns a 409 error: another owner has the resource now.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, message: message.into() }
    }

    /// Returns a 500 error: the server failed.
    pub fn internal(message: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, message: message.into() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.message }))).into_response()
    }
}

impl From<UnknownPlatform> for ApiError {
    fn from(error: UnknownPlatform) -> Self {
        Self { status: StatusCode::NOT_FOUND, message: error.to_string() }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message: error.to_string() }
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
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        let message = match &rejection {
            JsonRejection::MissingJsonContentType(_) => {
                "expected the header `Content-Type: application/json`".to_owned()
            }
            JsonRejection::JsonSyntaxError(error) => format!("request body: invalid JSON: {}", cause(error)),
            JsonRejection::JsonDataError(error) => format!("request body: {}", cause(error)),
            other => format!("request body: {}", cause(other)),
        };
        Self { status: rejection.status(), message }
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self { status: rejection.status(), message: format!("query: {}", cause(&rejection)) }
    }
}

/// Returns the innermost message of an error. The outer messages refer to types of this program.
fn cause(mut error: &dyn std::error::Error) -> String {
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Extracts a JSON body. A malformed body becomes an [`ApiError`].
#[derive(FromRequest)]
#[from_request(via(Json), rejection(ApiError))]
pub struct JsonBody<T>(pub T);

/// Extracts query parameters. Malformed parameters become an [`ApiError`].
#[derive(FromRequestParts)]
#[from_request(via(Query), rejection(ApiError))]
pub struct QueryParams<T>(pub T);

/// Handles requests for paths without a route.
pub async fn no_such_route(OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::not_found(format!("no route matches `{}`; /openapi.json describes all routes", uri.path()))
}
