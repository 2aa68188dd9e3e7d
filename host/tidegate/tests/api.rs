//! Public types and futures can be used from any thread, and every public type can be formatted for debugging.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::time::Duration;

use tidegate::blocking::{
    BlockingAdmitted, BlockingCallError, BlockingError, BlockingHost, BlockingLease, BlockingLimiter, BlockingLock,
    BlockingReservation, BlockingReservations, BlockingRetry,
};
use tidegate::channel::{ChannelConfig, ChannelContext, ChannelError, ChannelKinds, NotifyError};
use tidegate::*;

fn assert_send<T: Send>(_: T) {}

/// Compiles only if every type in the list is `Send`, `Sync` and `Debug`.
macro_rules! assert_send_sync_debug {
    ($($type:ty),* $(,)?) => {
        $(const _: () = send_sync_debug::<$type>();)*
    };
}

const fn send_sync_debug<T: Send + Sync + std::fmt::Debug>() {}

assert_send_sync_debug!(
    AdmitError,
    Admitted,
    Advice,
    Attempt,
    BlockingAdmitted,
    BlockingCallError<Failure>,
    BlockingError,
    BlockingHost,
    BlockingLease,
    BlockingLimiter,
    BlockingLock,
    BlockingReservation,
    BlockingReservations,
    BlockingRetry,
    CallError<Failure>,
    CallOptions,
    Classification,
    ConfigError,
    ConfigFile,
    Denied,
    GiveUpReason,
    Host,
    HostBuilder,
    Lease,
    LimitRefused,
    Limiter,
    Lock,
    LockError,
    LockHolder<'_>,
    Locks,
    Metrics,
    NextStep,
    Recorder,
    Reservation,
    Reservations,
    Retry,
    SystemClock,
    SystemEnv,
    UnknownPlatform,
);

// The types of other crates that this crate re-exports.
assert_send_sync_debug!(
    Action,
    Admission,
    AlertRecord,
    Allowed,
    Backoff,
    BuiltinAlert,
    ChannelConfig,
    ChannelContext,
    ChannelError,
    ChannelKinds,
    Class,
    Config,
    Delivery,
    Failure,
    FailureKind,
    Fault,
    FaultKind,
    FleetProcess,
    LimitStatus,
    LockGrant,
    LockHeld,
    LockInfo,
    LockRequest<'_>,
    ManualClock,
    Notification,
    NotifyError,
    OnRedisFailure,
    Outcome,
    ProcessInfo,
    Quota,
    QuotaError,
    Rate,
    Refusal,
    Request,
    ReservationId,
    RoutedNotification,
    Secret,
    Severity,
    Stats,
    StoreError,
    Timestamp,
    Transition,
    Verdict,
);

#[cfg(feature = "policies")]
assert_send_sync_debug!(
    ActiveAlert,
    AlertPhase,
    AlertTiming,
    AlertVerdict,
    Alerts,
    ConfigStatus,
    DecisionsStatus,
    CandidateDifference,
    CandidateDifferences,
    Generation,
    Policies,
    PolicyDecision,
    PolicyHashes,
    PolicyLanguage,
    PolicyStatus,
    ReloadReport,
    Rule,
    RuleScope,
    Snapshot,
    Watch,
);

#[cfg(feature = "redis")]
assert_send_sync_debug!(redis::RedisHealth, redis::ServerHealth, redis::ServerState);

#[cfg(feature = "tower")]
assert_send_sync_debug!(response::ResponseParts<'_>, tower::TidegateLayer, tower::Route, tower::TidegateService<u8>);

/// A body can wrap a body that only one thread may use at a time.
#[cfg(feature = "tower")]
const _: () = {
    const fn send_debug<T: Send + std::fmt::Debug>() {}
    send_debug::<tower::Body>();
};

#[tokio::test]
async fn futures_of_the_host_can_move_between_threads() {
    let host = Host::builder().config(Config::with_platforms()).build().unwrap();
    let (limiter, lock) = (host.limiter("jd").unwrap(), host.locks().lock("job").unwrap());
    let (failure, request) = (Failure::default(), Request::default());
    assert_send(limiter.acquire(1, Duration::ZERO));
    assert_send(lock.acquire(Duration::ZERO));
    assert_send(host.classify(&failure));
    assert_send(host.advise(&failure, CallOptions::default()));
    assert_send(host.admit(&request));
    assert_send(host.retry("jd").unwrap().run(async |_| Ok::<(), Failure>(())));
    assert_send(host.clone().run(std::future::ready(())));
}
