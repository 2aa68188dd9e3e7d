//! The routes of locks.

use axum::Json;
use axum::extract::State;
use tidegate::Host;

use super::describe::{BodyErrors, InvalidName, LockPath, RedisUnavailable};
use super::extract::{JsonBody, PathParam};
use crate::api::locks::{
    self, AcquireLockRequest, AcquireLockResponse, AcquiredLock, BusyLock, ExtendLockRequest, ExtendedLock,
    ForcedRelease, HeldLock, ReleaseLockRequest, ReleasedLock,
};
use crate::api::{ApiError, ErrorBody};

/// List the locks that are held.
#[utoipa::path(get, path = "/v1/locks", operation_id = "listLocks", responses(
    (status = 200, description = "The locks in order of name.", body = Vec<HeldLock>), RedisUnavailable,
))]
pub async fn list(State(host): State<Host>) -> Result<Json<Vec<HeldLock>>, ApiError> {
    locks::list(&host).await.map(Json)
}

/// Acquire a lock for `ttl_ms`. The request waits up to `wait_ms`.
///
/// A guarded resource must reject a fencing token smaller than the largest one it has seen. Extend the lock after each
/// third of `ttl_ms`. Measure `ttl_ms` from just before the request was sent: after that time, another owner may hold
/// the lock.
#[utoipa::path(post, path = "/v1/locks/{name}/acquire", operation_id = "acquireLock", params(LockPath),
    request_body = AcquireLockRequest, responses(
    (status = 200, description = "The lock is acquired.", body = AcquiredLock), BodyErrors,
    (status = 409, description = "Another owner holds the lock.", body = BusyLock), RedisUnavailable,
))]
pub async fn acquire(
    State(host): State<Host>,
    PathParam(name): PathParam,
    JsonBody(request): JsonBody<AcquireLockRequest>,
) -> Result<AcquireLockResponse, ApiError> {
    locks::acquire(&host, &name, request).await
}

/// Extend a lock.
#[utoipa::path(post, path = "/v1/locks/{name}/extend", operation_id = "extendLock", params(LockPath),
    request_body = ExtendLockRequest, responses(
    (status = 200, description = "The lock is extended.", body = ExtendedLock), BodyErrors,
    (status = 409, description = "The owner no longer holds the lock with this fencing token.", body = ErrorBody),
    RedisUnavailable,
))]
pub async fn extend(
    State(host): State<Host>,
    PathParam(name): PathParam,
    JsonBody(request): JsonBody<ExtendLockRequest>,
) -> Result<Json<ExtendedLock>, ApiError> {
    locks::extend(&host, &name, request).await.map(Json)
}

/// Release a lock once. A lock that its owner acquired several times must be released as often.
#[utoipa::path(post, path = "/v1/locks/{name}/release", operation_id = "releaseLock", params(LockPath),
    request_body = ReleaseLockRequest, responses(
    (status = 200, description = "The lock is released once.", body = ReleasedLock), BodyErrors,
    (status = 409, description = "The owner no longer held the lock with this fencing token.", body = ErrorBody),
    RedisUnavailable,
))]
pub async fn release(
    State(host): State<Host>,
    PathParam(name): PathParam,
    JsonBody(request): JsonBody<ReleaseLockRequest>,
) -> Result<Json<ReleasedLock>, ApiError> {
    locks::release(&host, &name, request).await.map(Json)
}

/// Release a lock, whichever owner holds it.
#[utoipa::path(delete, path = "/v1/locks/{name}", operation_id = "forceReleaseLock", params(LockPath), responses(
    (status = 200, description = "The lock was held and is now free.", body = ForcedRelease),
    (status = 404, description = "The lock is not held.", body = ErrorBody), InvalidName, RedisUnavailable,
))]
pub async fn force_release(
    State(host): State<Host>,
    PathParam(name): PathParam,
) -> Result<Json<ForcedRelease>, ApiError> {
    locks::force_release(&host, &name).await.map(Json)
}
