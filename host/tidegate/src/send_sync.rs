//! Public types and futures can be used from any thread.

use std::time::Duration;

use crate::blocking::{
    BlockingAdmitted, BlockingCallError, BlockingError, BlockingHost, BlockingLease, BlockingLimiter, BlockingLock,
    BlockingReservation, BlockingReservations, BlockingRetry,
};
use crate::*;

fn assert_send<T: Send>(_: T) {}

/// Compiles only if every type in the list is `Send`, `Sync` and `Debug`.
macro_rules! assert_send_sync_debug {
    ($($type:ty),* $(,)?) => {
        const fn assert_type<T: Send + Sync + std::fmt::Debug>() {}
        $(const _: () = assert_type::<$type>();)*
    };
}

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

#[cfg(feature = "policies")]
const _: () = {
    assert_send_sync_debug!(ActiveAlert, Alerts, ConfigStatus, Policies);
};

#[cfg(feature = "tower")]
const _: () = {
    assert_send_sync_debug!(tower::Route, tower::TidegateLayer, tower::TidegateService<u8>);
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
