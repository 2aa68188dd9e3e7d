//! Properties of the public types: they can be shared between threads and formatted for debugging, without secrets.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::config::{LimitConfig, RedisConfig};
use tidegate_core::{Clock, ManualClock, Quota};
use tidegate_redis::{
    Error, Redis, RedisAlerts, RedisHealth, RedisLimit, RedisLocks, RedisMetrics, RedisTicket, ServerHealth,
    ServerState,
};
use tokio::time::timeout;

/// Returns the configuration of a server that does not exist.
fn unavailable_server() -> RedisConfig {
    RedisConfig::single("redis://ann:geheim@127.0.0.1:1/0").with_password("geheim")
}

#[test]
fn public_types_are_shared_between_threads_and_have_debug() {
    fn check<T: Send + Sync + Debug>() {}
    check::<Error>();
    check::<RedisHealth>();
    check::<Redis>();
    check::<RedisAlerts>();
    check::<RedisLimit>();
    check::<RedisLocks>();
    check::<RedisMetrics>();
    check::<RedisTicket>();
    check::<ServerHealth>();
    check::<ServerState>();
}

#[tokio::test]
async fn debug_output_contains_no_secret() {
    let redis = Redis::open(&unavailable_server(), Arc::new(ManualClock::default())).unwrap();
    let quota = Quota::new("1/s".parse().unwrap(), 1).unwrap();
    let limit = LimitConfig::new(quota);
    let text = format!(
        "{redis:?} {:?} {:?} {:?} {:?} {:?}",
        redis.health(),
        RedisAlerts::new(redis.clone()),
        RedisLimit::new(redis.clone(), "shop", limit),
        RedisLocks::new(redis.clone()),
        RedisMetrics::new(redis.clone(), 10),
    );
    assert!(text.contains("Single") && text.contains("tidegate:") && !text.contains("geheim"), "{text}");
}

#[tokio::test]
async fn durations_of_states_are_measured_with_the_clock_of_the_process() {
    let clock = Arc::new(ManualClock::default());
    let redis = Redis::open(&unavailable_server(), Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
    assert_eq!((redis.health().state, redis.health().state_duration), (ServerState::Connecting, Duration::ZERO));
    // The wait ends with a timeout, because the server never becomes available.
    while redis.health().state != ServerState::Unavailable {
        let _ = timeout(Duration::from_millis(10), redis.wait_until_ready()).await;
    }
    assert_eq!(redis.health().state_duration, Duration::ZERO);
    clock.advance(Duration::from_secs(5));
    let health = redis.health();
    let seconds = Duration::from_secs(5);
    assert_eq!((health.state_duration, health.servers[0].state_duration), (seconds, seconds));
}

#[test]
fn errors_name_the_setting_or_the_missing_runtime_and_their_source() {
    let clock = || Arc::new(ManualClock::default());
    let error = Redis::open(&unavailable_server(), clock()).unwrap_err();
    assert!(error.is_outside_runtime() && error.setting_key().is_none(), "{error}");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    let open = |config: RedisConfig| Redis::open(&config, clock()).unwrap_err();
    let mut config = unavailable_server();
    config.url.clear();
    let error = open(config);
    assert_eq!((error.setting_key(), error.is_outside_runtime()), (Some("url"), false));
    assert!(std::error::Error::source(&error).is_none());

    let config = unavailable_server().with_prefix("{shop}:");
    assert_eq!(Redis::check(&config).unwrap_err().to_string(), open(config.clone()).to_string());
    let error = open(config);
    assert_eq!(error.setting_key(), Some("prefix"));
    assert!(error.to_string().starts_with("prefix: expected letters, digits"), "{error}");

    let error = open(unavailable_server().with_tls_ca("/nowhere/ca.pem"));
    assert_eq!(
        (error.setting_key(), error.to_string().as_str()),
        (Some("tls_ca"), "tls_ca: cannot read /nowhere/ca.pem")
    );
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("No such file"));
}
