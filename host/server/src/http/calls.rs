//! The routes of calls and of their statistics.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tidegate::Host;

use super::describe::{BodyErrors, InvalidQuery, RedisUnavailable, UnknownPlatform};
use super::extract::{JsonBody, QueryParams};
use crate::api::ApiError;
use crate::api::calls::{self, CallAdvice, CallReport};
use crate::api::metrics::{self, CallStats, MetricsRequest};

/// Report a finished call. The response for a failed call says whether and when to retry it.
#[utoipa::path(post, path = "/v1/calls", operation_id = "report", request_body = CallReport, responses(
    (status = 200, description = "The advice for the failed call.", body = CallAdvice),
    (status = 204, description = "The call is counted. It carries no failure, so there is no advice."),
    BodyErrors, UnknownPlatform,
))]
pub async fn report(State(host): State<Host>, JsonBody(call): JsonBody<CallReport>) -> Result<Response, ApiError> {
    let advice = calls::record(&host, call).await?;
    Ok(advice.map_or_else(|| StatusCode::NO_CONTENT.into_response(), |advice| Json(advice).into_response()))
}

/// Get call counts, rates and quantiles of all processes that share the Redis.
#[utoipa::path(get, path = "/v1/metrics", operation_id = "getMetrics", params(MetricsRequest), responses(
    (status = 200, description = "The statistics. `from_ms` and `to_ms` bound the window.", body = CallStats),
    InvalidQuery, UnknownPlatform, RedisUnavailable,
))]
pub async fn stats(
    State(host): State<Host>,
    QueryParams(request): QueryParams<MetricsRequest>,
) -> Result<Json<CallStats>, ApiError> {
    metrics::stats(&host, request).await.map(Json)
}
