//! Locks for owners in other processes. Each owner extends and releases its lock by further requests.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate::{Host, LockHolder};
use tidegate_core::clock::millis;
use tidegate_core::store::{LockGrant, LockInfo, LockRequest};
use utoipa::ToSchema;

use super::{ApiError, random_id};

/// The longest wait of one `acquire` request. Proxies on the path would close a request that waits longer.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// A lock that is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Lock, examples(json!({
    "name": "orders:taobao", "owner": "worker-7", "fencing_token": 1763856000000001_u64, "depth": 1, "ttl_ms": 29500
})))]
pub struct HeldLock {
    /// The name of the lock.
    pub name: String,
    /// The owner of the lock.
    pub owner: String,
    /// The fencing token of the grant.
    pub fencing_token: u64,
    /// How many times the owner holds the lock.
    pub depth: u32,
    /// The time until the lock expires unless it is extended, in milliseconds.
    pub ttl_ms: u64,
}

impl From<LockInfo> for HeldLock {
    fn from(lock: LockInfo) -> Self {
        let LockInfo { name, owner, fencing_token, depth, ttl_ms, .. } = lock;
        Self { name, owner, fencing_token, depth, ttl_ms }
    }
}

/// The owner of the lock, and how long it holds the lock and waits for it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
#[schema(examples(json!({ "owner": "worker-7", "ttl_ms": 30000, "wait_ms": 0 })))]
pub struct AcquireLockRequest {
    /// A name that no other owner uses. An owner that already holds the lock acquires it again.
    pub owner: String,
    /// How long the lock is held unless it is extended, in milliseconds.
    #[serde(default = "default_ttl_ms")]
    #[schema(default = 30000, minimum = 100, maximum = 86_400_000)]
    pub ttl_ms: u64,
    /// The maximum wait in milliseconds. Values above 60 s count as 60 s.
    #[serde(default)]
    #[schema(default = 0)]
    pub wait_ms: u64,
    /// Identifies the request, so that a request that is sent twice counts once.
    pub id: Option<String>,
}

fn default_ttl_ms() -> u64 {
    30_000
}

/// The result of a request for a lock.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum AcquireLockResponse {
    /// The lock is acquired.
    Acquired(AcquiredLock),
    /// Another owner holds the lock.
    Busy(BusyLock),
}

/// A lock that was acquired.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({ "fencing_token": 1763856000000001_u64, "depth": 1, "ttl_ms": 30000 })))]
pub struct AcquiredLock {
    /// A number that is greater than the token of every earlier grant of the lock.
    pub fencing_token: u64,
    /// How many times the owner holds the lock now.
    pub depth: u32,
    /// How long the lock is held unless it is extended, in milliseconds.
    pub ttl_ms: u64,
}

/// A lock that another owner holds.
#[derive(Debug, Serialize, ToSchema)]
pub struct BusyLock {
    /// The error message.
    pub error: String,
    /// The remaining time of the lock, in milliseconds. It expires by then unless its owner extends it.
    pub retry_after_ms: u64,
}

/// The lock to extend.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
#[schema(examples(json!({ "owner": "worker-7", "fencing_token": 1763856000000001_u64, "ttl_ms": 30000 })))]
pub struct ExtendLockRequest {
    /// The owner of the lock.
    pub owner: String,
    /// The fencing token that `acquire` returned.
    pub fencing_token: u64,
    /// The new remaining time of the lock, in milliseconds from now.
    #[serde(default = "default_ttl_ms")]
    #[schema(default = 30000, minimum = 100, maximum = 86_400_000)]
    pub ttl_ms: u64,
}

/// A lock that was extended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({ "ttl_ms": 30000 })))]
pub struct ExtendedLock {
    /// The remaining time of the lock, in milliseconds.
    pub ttl_ms: u64,
}

/// The lock to release.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
#[schema(examples(json!({ "owner": "worker-7", "fencing_token": 1763856000000001_u64 })))]
pub struct ReleaseLockRequest {
    /// The owner of the lock.
    pub owner: String,
    /// The fencing token that `acquire` returned.
    pub fencing_token: u64,
    /// Identifies the request, so that a request that is sent twice counts once.
    pub id: Option<String>,
}

/// A lock that its owner released once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({ "depth": 0 })))]
pub struct ReleasedLock {
    /// How many times the owner still holds the lock.
    pub depth: u32,
}

/// A lock that was released, regardless of its owner.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({ "released": true })))]
pub struct ForcedRelease {
    /// Always true: the lock was held and is now free.
    pub released: bool,
}

/// Returns the locks that are held, in order of name.
///
/// # Errors
/// Returns an error if Redis is unavailable.
pub async fn list(host: &Host) -> Result<Vec<HeldLock>, ApiError> {
    Ok(host.locks().list().await?.into_iter().map(HeldLock::from).collect())
}

/// Acquires a lock. Dropping the future cancels the wait.
///
/// # Errors
/// Returns an error if a value is invalid or Redis is unavailable.
pub async fn acquire(host: &Host, name: &str, request: AcquireLockRequest) -> Result<AcquireLockResponse, ApiError> {
    let (id, ttl) = (request.id.unwrap_or_else(random_id), Duration::from_millis(request.ttl_ms));
    let wait = Duration::from_millis(request.wait_ms).min(MAX_WAIT);
    let lock = LockRequest::new(name, &request.owner, &id);
    match host.locks().acquire_for(lock, ttl, wait).await {
        Ok(LockGrant { fencing_token, depth, .. }) => {
            Ok(AcquireLockResponse::Acquired(AcquiredLock { fencing_token, depth, ttl_ms: request.ttl_ms }))
        }
        Err(error) => {
            let held = error.held().ok_or(error)?;
            let (error, retry_after_ms) = ("another owner holds the lock".to_owned(), millis(held.ttl));
            Ok(AcquireLockResponse::Busy(BusyLock { error, retry_after_ms }))
        }
    }
}

/// Extends a lock.
///
/// # Errors
/// Returns an error if the owner lost the lock, a value is invalid, or Redis is unavailable.
pub async fn extend(host: &Host, name: &str, request: ExtendLockRequest) -> Result<ExtendedLock, ApiError> {
    let ExtendLockRequest { owner, fencing_token, ttl_ms } = request;
    let holder = LockHolder::new(name, &owner, fencing_token);
    if host.locks().extend_for(holder, Duration::from_millis(ttl_ms)).await? {
        return Ok(ExtendedLock { ttl_ms });
    }
    Err(lost_lock())
}

/// Releases a lock once.
///
/// # Errors
/// Returns an error if the owner lost the lock, a value is invalid, or Redis is unavailable.
pub async fn release(host: &Host, name: &str, request: ReleaseLockRequest) -> Result<ReleasedLock, ApiError> {
    let id = request.id.unwrap_or_else(random_id);
    let holder = LockHolder::new(name, &request.owner, request.fencing_token);
    let depth = host.locks().release_for(holder, &id).await?.ok_or_else(lost_lock)?;
    Ok(ReleasedLock { depth })
}

/// Releases a lock, regardless of its owner.
///
/// # Errors
/// Returns an error if the lock is not held or Redis is unavailable.
pub async fn force_release(host: &Host, name: &str) -> Result<ForcedRelease, ApiError> {
    if host.locks().force_release(name).await? {
        return Ok(ForcedRelease { released: true });
    }
    Err(ApiError::not_found(format!("lock {name:?} is not held")))
}

fn lost_lock() -> ApiError {
    ApiError::conflict("this owner no longer holds the lock with this fencing token")
}
