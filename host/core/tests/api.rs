//! Properties of the public types: they can be shared between threads and formatted for debugging, without secrets.

use std::fmt::Debug;
use std::time::Duration;

use tidegate_core::config::reader::{
    Diagnostic, Diagnostics, EffectiveValue, Origin, Position, Section, SpannedString, TomlValue,
};
use tidegate_core::config::{
    AlertingConfig, ChannelConfig, ChannelContext, ChannelError, ChannelKinds, Config, ConfigProblem, DecisionsConfig,
    ErrorShape, FieldPath, FieldValues, Isolation, LimitConfig, LimitScope, MetricsConfig, NamePattern, NoEnv,
    ParseNamePatternError, Parser, PlatformConfig, PoliciesConfig, PolicyConfig, PolicyLimits, RedisConfig, RedisKind,
    ResolvedPolicyConfig, RetryConfig, ServerConfig, Setting, Settings,
};
use tidegate_core::store::{
    AlertChanges, AlertEntry, AlertKey, AlertRecord, AlertStates, Delivery, LockGrant, LockHeld, LockInfo, LockReply,
    LockRequest, OfflineAlerts, OfflineState, ReservationParts, RoutedNotification, StoreReservation,
};
use tidegate_core::units::ParseDurationError;
use tidegate_core::window::{Resolution, Span, Window};
use tidegate_core::*;

/// Compiles only if every type in the list is `Send`, `Sync` and `Debug`.
macro_rules! assert_send_sync_debug {
    ($($type:ty),* $(,)?) => {
        $(const _: () = send_sync_debug::<$type>();)*
    };
}

const fn send_sync_debug<T: Send + Sync + Debug>() {}
const fn debug<T: Debug>() {}

assert_send_sync_debug!(
    Action,
    Admission,
    AlertPhase,
    AlertState,
    AlertTiming,
    AlertVerdict,
    Allowed,
    Backoff,
    Bucket,
    BucketReservation,
    BuiltinAlert,
    Class,
    Failure,
    FailureKind,
    Fault,
    FaultKind,
    FleetProcess,
    FnHostView<fn(Duration) -> Stats>,
    failure::InvalidHeaderName,
    LimitStatus,
    ManualClock,
    Notification,
    NotifyError,
    OnRedisFailure,
    Outcome,
    ParseDurationError,
    ParseNameError,
    ParseReservationIdError,
    ProcessInfo,
    Quota,
    QuotaError,
    Rate,
    Refusal,
    Request,
    ReservationId,
    Resolution,
    Secret,
    Severity,
    Sketch,
    Snapshot,
    Span,
    Stats,
    StoreError,
    Ticket,
    Timestamp,
    Transition,
    Verdict,
    Window,
);

// The configuration.
assert_send_sync_debug!(
    AlertingConfig,
    ChannelConfig,
    ChannelContext,
    ChannelError,
    ChannelKinds,
    Config,
    ConfigProblem,
    DecisionsConfig,
    Diagnostic,
    Diagnostics,
    EffectiveValue,
    ErrorShape,
    FieldPath,
    FieldValues,
    Isolation,
    LimitConfig,
    LimitScope,
    MetricsConfig,
    NamePattern,
    NoEnv,
    Origin,
    ParseNamePatternError,
    Parser<'_>,
    PlatformConfig,
    PoliciesConfig,
    PolicyConfig,
    PolicyLimits,
    Position,
    RedisConfig,
    RedisKind,
    ResolvedPolicyConfig,
    RetryConfig,
    ServerConfig,
    Setting,
    Settings,
    SpannedString,
);

// The stores.
assert_send_sync_debug!(
    AlertChanges,
    AlertEntry,
    AlertKey,
    AlertRecord,
    AlertStates,
    Delivery,
    LockGrant,
    LockHeld,
    LockInfo,
    LockReply,
    LockRequest<'_>,
    OfflineAlerts,
    OfflineState,
    ReservationParts,
    RoutedNotification,
    StoreReservation<Ticket>,
);

// A reader collects its errors and values without a lock, so these types stay in one thread.
const _: () = debug::<Section<'_>>();
const _: () = debug::<TomlValue<'_>>();

#[test]
fn debug_output_of_a_configuration_contains_no_secret() {
    let mut config = Config::default();
    config.redis = Some(RedisConfig::single("redis://ann:hunter2@127.0.0.1/"));
    config.server.token = Some(Secret::new("hunter2"));
    let text = format!("{config:?}");
    assert!(text.contains("RedisConfig") && !text.contains("hunter2"), "{text}");
}
