//! tidegate is a policy engine for calls to third-party APIs. It keeps calls within their rate limits, retries failed
//! calls, records metrics and raises alerts. *Policies* decide which failures to retry and when to alert: Rhai scripts
//! or Wasm components that are reloaded when their files change.
//!
//! A [`Host`] provides all services of a process:
//!
//! - [`Host::limiter`]: token bucket limits per platform, with waiting in order of arrival;
//! - [`Host::retry`]: a call that passes the limit, is retried as policies decide, and is counted in the metrics;
//! - [`Host::locks`]: locks with a TTL and fencing tokens;
//! - [`Host::stats`]: counts, rates and latency percentiles of the last 30 days;
//! - [`Host::run`]: the background tasks, which evaluate alert rules and export metrics.
//!
//! State is in memory, or in Redis to share it between processes. [`blocking`] has the same services for programs
//! without an async runtime, and [`tower`] has a layer for HTTP client services.
//!
//! # Example
//!
//! Make a call to a platform. The first attempt fails with a transient error, and the second one succeeds:
//!
//! ```
//! # tokio_test(async {
//! use tidegate::{Config, Failure, Host};
//! let host = Host::builder().config(Config::with_platforms()).build().unwrap();
//! let trade = host
//!     .retry("taobao")?
//!     .endpoint("taobao.trade.get")
//!     .run(|attempt| async move {
//!         if attempt.number == 1 { Err(Failure::response(503)) } else { Ok("a trade") }
//!     })
//!     .await;
//! assert_eq!(trade.unwrap(), "a trade");
//! # Ok::<(), tidegate::UnknownPlatform>(())
//! # }).unwrap();
//! # fn tokio_test<F: std::future::Future>(f: F) -> F::Output {
//! #     tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(f)
//! # }
//! ```
//!
//! An attempt returns its failure as a [`Failure`], or as an error that implements [`RetryableError`]. For a response
//! of the platform, [`Host::read_failure`] returns the failure that it describes, if any.
//!
//! # Start and stop
//!
//! A program reads its configuration file and opens its policies. While it runs, it follows both, and [`Host::run`]
//! evaluates alert rules, sends notifications and flushes metrics, until the future that is its argument completes:
//!
//! ```no_run
//! # #[cfg(feature = "rhai")]
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use tidegate::channel::ChannelKinds;
//! use tidegate::{ConfigFile, Host, Policies};
//! let kinds = ChannelKinds::new(); // or `tidegate_notify::channel_kinds()`
//! let file = ConfigFile::new("tidegate.toml").channel_kinds(kinds);
//! let config = file.read()?;
//! let policies = Policies::open(&config.policies);
//! let host = Host::builder().config(config).policies(policies).build()?;
//! let config_watch = host.follow_config(&file)?; // until the guard is dropped
//! let policies_watch = host.follow_policies()?;
//! let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
//! let background = tokio::spawn(host.clone().run(async { drop(stopped.await) }));
//!
//! // … make calls with clones of `host` …
//!
//! drop(stop);
//! background.await?; // the last notifications are sent, and the metrics are flushed
//! # Ok(())
//! # }
//! ```
//!
//! A policy or a configuration that is rejected does not end the program: the previous version stays active, and the
//! reason is an event of the crate `tracing`, so install a subscriber. [`Policies::status`] and [`Host::config_status`]
//! have the reasons too.
//!
//! [`channel`] shows how to add a channel kind to the configuration.
//!
//! # Features
//!
//! | feature | default | enables |
//! | --- | --- | --- |
//! | `rhai` | yes | policies as Rhai scripts |
//! | `wasm` | yes | policies as Wasm components |
//! | `tower` | yes | the modules [`tower`] and [`mod@response`], and [`Host::read_failure`] |
//! | `redis` | no | limits, locks, metrics and alerts that processes share through Redis; the module [`mod@redis`] |
//! | `policies` | yes | the policy registry, reload and alerting; `rhai` and `wasm` enable it |
//! | `internals` | no | what the tests of tidegate's workspace and its server need; exempt from semantic versioning |
//!
//! This crate has the types that users of a host need. [`tidegate_core`] has the types with which a program implements
//! a policy or a clock for tests.
//!
//! With `default-features = false` the crate has limits, retries with the built-in classification, locks and metrics.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod admission;
mod advice;
#[cfg(feature = "policies")]
mod alerts;
pub mod blocking;
mod call_error;
mod calls;
pub mod channel;
mod clock;
mod config_error;
mod config_file;
#[cfg(feature = "policies")]
mod config_status;
mod context;
mod error;
mod evaluator;
mod fleet;
mod host;
#[cfg(feature = "internals")]
pub mod internals;
mod limit_set;
mod limiter;
mod limiters;
mod lock;
mod metrics;
mod pipeline;
#[cfg(feature = "policies")]
mod process_view;
#[cfg(feature = "policies")]
mod reload;
#[cfg(feature = "tower")]
pub mod response;
mod stores;
mod system_env;
mod text_file;
mod ticker;
#[cfg(feature = "tower")]
pub mod tower;

pub use admission::{AdmitError, Admitted, Denied};
pub use advice::{Advice, CallOptions, GiveUpReason, NextStep};
#[cfg(feature = "policies")]
pub use alerts::{ActiveAlert, Alerts};
pub use call_error::{CallError, RetryableError};
pub use clock::SystemClock;
pub use config_error::ConfigError;
pub use config_file::ConfigFile;
#[cfg(feature = "policies")]
pub use config_status::ConfigStatus;
pub use error::UnknownPlatform;
pub use evaluator::Classification;
pub use host::{Host, HostBuilder};
pub use limit_set::{LimitRefused, Reservations};
pub use limiter::{Limiter, Reservation};
pub use lock::{Lease, Lock, LockError, LockHolder, Locks};
pub use metrics::{Metrics, Recorder};
pub use pipeline::{Attempt, Retry};
pub use system_env::SystemEnv;
pub use tidegate_core::config::Config;
pub use tidegate_core::store::{AlertRecord, Delivery, LockGrant, LockHeld, LockInfo, LockRequest, RoutedNotification};
pub use tidegate_core::{
    Action, Admission, Allowed, Backoff, BuiltinAlert, Class, Clock, Failure, FailureKind, Fault, FaultKind,
    FleetProcess, LimitStatus, ManualClock, Notification, OnRedisFailure, Outcome, ParseNameError,
    ParseReservationIdError, ProcessInfo, Quota, QuotaError, Rate, Refusal, Request, ReservationId, Secret, Severity,
    Stats, StoreError, Timestamp, Transition, Verdict,
};
#[cfg(feature = "policies")]
pub use tidegate_core::{AlertPhase, AlertPolicy, AlertTiming, AlertVerdict, HostView, Snapshot};
#[cfg(feature = "policies")]
pub use tidegate_policy::{
    CandidateDifference, CandidateDifferences, DecisionsStatus, Generation, Generations, Policies, PolicyDecision,
    PolicyHashes, PolicyLanguage, PolicyStatus, ReloadReport, Rule, RuleScope, Watch,
};

/// The types of a [`Config`], and the types that read a configuration.
pub mod config {
    pub use tidegate_core::config::{
        AlertingConfig, ConfigProblem, DecisionsConfig, Env, ErrorShape, FieldPath, FieldValues, Isolation,
        LimitConfig, LimitScope, MetricsConfig, NamePattern, NoEnv, ParseNamePatternError, Parser, PlatformConfig,
        PoliciesConfig, PolicyConfig, PolicyLimits, RedisConfig, RedisKind, ResolvedPolicyConfig, RetryConfig,
        ServerConfig, Setting, Settings, reader,
    };
}

/// The health of the connections to Redis; see [`Host::redis_health`].
#[cfg(feature = "redis")]
pub mod redis {
    pub use tidegate_redis::{RedisHealth, ServerHealth, ServerState};
}
