//! The routes of limits.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use tidegate::Host;

use super::describe::{BodyErrors, ImpossibleCallOrError, InvalidName, LimitPath, RedisUnavailable, UnknownPlatform};
use super::extract::{JsonBody, PathParam};
use crate::api::ApiError;
use crate::api::limits::{
    self, AcquireLimitRequest, AcquireLimitResponse, AllowedCall, CancelReservationRequest, Limit, LimitedCall,
    UpdateLimitRequest,
};

/// List all limits by name.
#[utoipa::path(get, path = "/v1/limits", operation_id = "listLimits", responses(
    (status = 200, description = "The limits by name.", body = BTreeMap<String, Limit>,
        example = json!({ "taobao": { "rate": "40/s", "burst": 40, "available": 40, "full_in_ms": 0 } })),
    RedisUnavailable,
))]
pub async fn list(State(host): State<Host>) -> Result<Json<BTreeMap<String, Limit>>, ApiError> {
    limits::list(&host).await.map(Json)
}

/// Get one limit.
#[utoipa::path(get, path = "/v1/limits/{platform}", operation_id = "getLimit", params(LimitPath), responses(
    (status = 200, description = "The limit.", body = Limit), InvalidName, UnknownPlatform, RedisUnavailable,
))]
pub async fn get(State(host): State<Host>, PathParam(name): PathParam) -> Result<Json<Limit>, ApiError> {
    limits::get(&host, &name).await.map(Json)
}

/// Change the rate and the burst for every process that shares the limit. The bucket keeps its tokens.
///
/// The change lasts until the next edit of the limit in the configuration file. With Redis, it survives restarts.
#[utoipa::path(put, path = "/v1/limits/{platform}", operation_id = "setLimit", params(LimitPath),
    request_body = UpdateLimitRequest, responses(
    (status = 200, description = "The current state of the limit.", body = Limit), BodyErrors, UnknownPlatform,
    RedisUnavailable,
))]
pub async fn update(
    State(host): State<Host>,
    PathParam(name): PathParam,
    JsonBody(request): JsonBody<UpdateLimitRequest>,
) -> Result<Json<Limit>, ApiError> {
    limits::update(&host, &name, request).await.map(Json)
}

/// Acquire tokens for one call. The request waits up to `wait_ms`.
///
/// Waiting calls are served in order of arrival. If the wait would exceed `wait_ms`, the limit takes no tokens and
/// responds at once. While Redis is unavailable, the limit's `on_redis_failure` setting decides.
#[utoipa::path(post, path = "/v1/limits/{platform}/acquire", operation_id = "acquire", params(LimitPath),
    request_body = AcquireLimitRequest, responses(
    (status = 200, description = "The call is allowed.", body = AllowedCall), BodyErrors, UnknownPlatform,
    (status = 422, description = "Either the cost exceeds the burst, so the call can never be allowed (`decision` is \
        `never`), or a field is invalid (`error`).", body = ImpossibleCallOrError),
    (status = 429, description = "The limit refuses the call for now.", body = LimitedCall,
        headers(("Retry-After" = u64, description = "`retry_after_ms` in whole seconds, rounded up."))),
))]
pub async fn acquire(
    State(host): State<Host>,
    PathParam(name): PathParam,
    JsonBody(request): JsonBody<AcquireLimitRequest>,
) -> Result<AcquireLimitResponse, ApiError> {
    limits::acquire(&host, &name, request).await
}

/// Cancel the reservation of a call that was never sent, and return its tokens.
///
/// A reservation can be cancelled once, and only until the limit is changed or reset. Tokens that a full bucket would
/// have discarded in the meantime are not returned, so the limit still bounds the calls that are sent. Do not cancel a
/// call that was sent, whatever its outcome.
#[utoipa::path(post, path = "/v1/limits/{platform}/cancel", operation_id = "cancel", params(LimitPath),
    request_body = CancelReservationRequest, responses(
    (status = 200, description = "The current state of the limit.", body = Limit), BodyErrors, UnknownPlatform,
    RedisUnavailable,
))]
pub async fn cancel(
    State(host): State<Host>,
    PathParam(name): PathParam,
    JsonBody(request): JsonBody<CancelReservationRequest>,
) -> Result<Json<Limit>, ApiError> {
    limits::cancel(&host, &name, request).await.map(Json)
}

/// Fill the limit up to its burst.
#[utoipa::path(post, path = "/v1/limits/{platform}/reset", operation_id = "resetLimit", params(LimitPath), responses(
    (status = 200, description = "The current state of the limit.", body = Limit), InvalidName, UnknownPlatform,
    RedisUnavailable,
))]
pub async fn reset(State(host): State<Host>, PathParam(name): PathParam) -> Result<Json<Limit>, ApiError> {
    limits::reset(&host, &name).await.map(Json)
}
