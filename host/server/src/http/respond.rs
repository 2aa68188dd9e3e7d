//! The HTTP form of responses: status, headers and body.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::RETRY_AFTER;

use crate::api::admit::AdmitResponse;
use crate::api::limits::{AcquireLimitResponse, RefusedCall};
use crate::api::locks::AcquireLockResponse;
use crate::api::{ApiError, ErrorBody};

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status(), Json(ErrorBody::from(self))).into_response()
    }
}

impl IntoResponse for AcquireLimitResponse {
    fn into_response(self) -> Response {
        match self {
            Self::Allowed(allowed) => Json(allowed).into_response(),
            Self::Refused(refused) => refused.into_response(),
        }
    }
}

impl IntoResponse for RefusedCall {
    fn into_response(self) -> Response {
        match self {
            Self::Limited(limited) => {
                let seconds = limited.retry_after_ms.div_ceil(1_000).to_string();
                (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, seconds)], Json(limited)).into_response()
            }
            Self::Never(never) => (StatusCode::UNPROCESSABLE_ENTITY, Json(never)).into_response(),
        }
    }
}

impl IntoResponse for AdmitResponse {
    fn into_response(self) -> Response {
        match self {
            Self::Allowed(allowed) => Json(allowed).into_response(),
            Self::Denied(denied) => (StatusCode::FORBIDDEN, Json(denied)).into_response(),
            Self::Refused(refused) => refused.into_response(),
        }
    }
}

impl IntoResponse for AcquireLockResponse {
    fn into_response(self) -> Response {
        match self {
            Self::Acquired(acquired) => Json(acquired).into_response(),
            Self::Busy(busy) => (StatusCode::CONFLICT, Json(busy)).into_response(),
        }
    }
}
