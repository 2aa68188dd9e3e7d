//! The host: the services of one process, and its builder.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tidegate_core::config::Config;
use tidegate_core::{Clock, Stats, StoreError};
#[cfg(feature = "policies")]
use tidegate_policy::Policies;

#[cfg(feature = "policies")]
use crate::alerts::Alerts;
use crate::clock::SystemClock;
use crate::config_error::ConfigError;
#[cfg(feature = "policies")]
use crate::config_status::ConfigStatus;
use crate::context::CallContext;
use crate::error::UnknownPlatform;
use crate::evaluator::PolicyEvaluator;
use crate::limiter::Limiter;
use crate::limiters::Limiters;
use crate::lock::Locks;
use crate::metrics::{FleetMetrics, Metrics};
#[cfg(feature = "policies")]
use crate::process_view::ProcessView;
use crate::stores::Stores;

/// The services of one process: limits, retries, metrics, locks and alerts. Clones share the same services.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let config = tidegate::Config::with_platforms();
/// let host = tidegate::Host::builder().config(config).build().unwrap();
/// assert!(host.limiter("taobao").unwrap().check(1).await.is_ok());
/// assert!(host.limiter("toabao").is_err());
/// # });
/// ```
#[derive(Clone)]
pub struct Host(pub(crate) Arc<HostInner>);

pub(crate) struct HostInner {
    calls: Arc<CallContext>,
    metrics: FleetMetrics,
    locks: Locks,
    #[cfg(feature = "redis")]
    stores: Stores,
    #[cfg(feature = "policies")]
    view: Arc<dyn tidegate_core::HostView>,
    #[cfg(feature = "policies")]
    pub(crate) alerts: Alerts,
    /// The configuration at the start. Some settings are read only once, from this configuration.
    #[cfg(feature = "policies")]
    pub(crate) initial_config: Config,
    #[cfg(feature = "policies")]
    pub(crate) config_status: parking_lot::Mutex<ConfigStatus>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("limits", &self.limiters().keys().collect::<Vec<_>>())
            .field("config", &self.config())
            .finish_non_exhaustive()
    }
}

/// Builds a [`Host`]. Every setting has a default.
#[derive(Default)]
pub struct HostBuilder {
    config: Config,
    clock: Option<Arc<dyn Clock>>,
    read_only: bool,
    #[cfg(feature = "policies")]
    policies: Option<Arc<Policies>>,
}

impl fmt::Debug for HostBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostBuilder")
            .field("config", &self.config)
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}

impl HostBuilder {
    /// Sets the configuration. The default is `Config::default()`, which has no limits.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets the clock of the host and of its policies. The default is [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Makes the host read-only: it does not change limits in Redis, even if its configuration differs. It is not one
    /// of the processes that share Redis: it has no local share of a limit while Redis is unavailable, and
    /// [`Host::run`] neither evaluates alert rules nor sends notifications.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Sets the policies. Without policies, the built-in fallback classifies failures, and there are no alerts: the
    /// host does not read the policy directory of the configuration by itself.
    ///
    /// The policies read the metrics, the limits and the clock of the host. A registry that two hosts share reads those
    /// of the host that was built last.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use tidegate::{Config, Host, Policies};
    /// let config = Config::with_platforms();
    /// let policies = Policies::open(&config.policies);
    /// let host = Host::builder().config(config).policies(policies).build()?;
    /// assert!(host.policies().is_some());
    /// # Ok::<(), tidegate::ConfigError>(())
    /// # }).unwrap();
    /// ```
    #[cfg(feature = "policies")]
    #[must_use]
    pub fn policies(mut self, policies: Arc<Policies>) -> Self {
        self.policies = Some(policies);
        self
    }

    /// Builds the host. A configuration with `[redis]` requires a tokio runtime.
    ///
    /// If the configuration has `[redis]`, limits, locks, metrics and alerts are stored there. Redis need not be
    /// reachable yet. The channels of the configuration are opened, and alerts are sent to them while [`Host::run`]
    /// runs.
    ///
    /// # Errors
    /// Returns an error if a value of the configuration is invalid, if a channel cannot be opened, or if the
    /// configuration has `[redis]` and the calling thread is not in a tokio runtime.
    pub fn build(self) -> Result<Host, ConfigError> {
        self.config.validate().map_err(ConfigError::problem)?;
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let stores = Stores::open(&self.config, &clock, self.read_only)?;
        let limiters = Limiters::new(stores.clone(), &self.config.limits);
        #[cfg(feature = "policies")]
        let alerts = Alerts::new(stores.alerts());
        #[cfg(feature = "policies")]
        alerts.set_channels(&self.config.channels, &clock)?;
        let shared = stores.metrics(&self.config.metrics);
        let max_endpoints = self.config.metrics.max_endpoints;
        let metrics =
            if shared.is_some() { Metrics::with_export } else { Metrics::new }(max_endpoints, Arc::clone(&clock));
        let host = Host(Arc::new(HostInner {
            metrics: FleetMetrics { local: metrics.clone(), shared },
            locks: Locks::new(stores.locks(), Arc::clone(&clock)),
            #[cfg(feature = "redis")]
            stores,
            #[cfg(feature = "policies")]
            view: Arc::new(ProcessView { metrics: metrics.clone(), limiters: limiters.downgrade() }),
            #[cfg(feature = "policies")]
            alerts,
            #[cfg(feature = "policies")]
            initial_config: self.config.clone(),
            #[cfg(feature = "policies")]
            config_status: parking_lot::Mutex::default(),
            calls: Arc::new(CallContext {
                clock,
                config: ArcSwap::from_pointee(self.config),
                limiters,
                metrics,
                #[cfg(feature = "policies")]
                policies: PolicyEvaluator::new(self.policies),
                #[cfg(not(feature = "policies"))]
                policies: PolicyEvaluator::default(),
            }),
        }));
        #[cfg(feature = "policies")]
        if let Some(policies) = host.policies() {
            policies.attach(host.view(), Arc::clone(host.clock()));
            policies.configure_decision_log(&host.config().decisions);
        }
        #[cfg(feature = "redis")]
        host.announce();
        Ok(host)
    }
}

impl Host {
    /// Returns a builder for a host.
    #[must_use]
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    /// Returns the limiter of a platform, or of an additional limit by its name.
    ///
    /// # Errors
    /// Returns an error if the configuration has no limit of this name.
    pub fn limiter(&self, platform: &str) -> Result<Limiter, UnknownPlatform> {
        self.0.calls.limiters.get(platform)
    }

    /// Returns the limiters of all limits, by name.
    #[must_use]
    pub fn limiters(&self) -> BTreeMap<String, Limiter> {
        self.0.calls.limiters.all()
    }

    pub(crate) fn call_context(&self) -> &Arc<CallContext> {
        &self.0.calls
    }

    /// Returns the metrics of this process, without those of other processes.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics.local
    }

    /// Returns the statistics of the last `range`, for one endpoint or for the whole platform. With Redis they cover
    /// all processes that share it, otherwise this process. The range is widened to whole minutes, hours or days, so
    /// use the rates of the result rather than its counts.
    ///
    /// With Redis, a call is included after the next flush of its process, at most `[metrics] flush_interval` later.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable.
    pub async fn stats(&self, platform: &str, endpoint: Option<&str>, range: Duration) -> Result<Stats, StoreError> {
        self.0.metrics.stats(platform, endpoint, range).await
    }

    /// Returns every platform with its recorded endpoints. With Redis they cover all processes that share it, otherwise
    /// this process.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable.
    pub async fn endpoints(&self) -> Result<BTreeMap<String, Vec<String>>, StoreError> {
        self.0.metrics.endpoints().await
    }

    pub(crate) fn fleet_metrics(&self) -> FleetMetrics {
        self.0.metrics.clone()
    }

    /// Returns the locks. With Redis they are shared by all processes that use it, otherwise they are local.
    #[must_use]
    pub fn locks(&self) -> &Locks {
        &self.0.locks
    }

    /// Returns the active configuration.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.0.calls.config.load_full()
    }

    /// Returns the health of the connections to Redis; `None` if the configuration has no `[redis]`.
    #[cfg(feature = "redis")]
    #[must_use]
    pub fn redis_health(&self) -> Option<tidegate_redis::RedisHealth> {
        self.redis().map(tidegate_redis::Redis::health)
    }

    /// Returns the Redis client.
    #[cfg(feature = "redis")]
    pub(crate) fn redis(&self) -> Option<&tidegate_redis::Redis> {
        self.0.stores.redis()
    }

    /// Returns whether this host is not one of the processes that share Redis.
    pub(crate) fn is_read_only(&self) -> bool {
        #[cfg(feature = "redis")]
        return self.redis().is_some_and(tidegate_redis::Redis::is_read_only);
        #[cfg(not(feature = "redis"))]
        false
    }

    /// Returns the data that policies can query.
    #[cfg(feature = "policies")]
    pub(crate) fn view(&self) -> Arc<dyn tidegate_core::HostView> {
        Arc::clone(&self.0.view)
    }

    /// Returns the clock that all services of this host use.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.calls.clock
    }

    /// Returns whether a policy that may classify failures of this platform reads the body. Otherwise the caller may
    /// omit it.
    #[cfg(feature = "tower")]
    pub(crate) fn reads_body(&self, platform: &str) -> bool {
        #[cfg(feature = "policies")]
        if let Some(policies) = self.policies() {
            return policies.reads_body(platform);
        }
        let _ = platform;
        false
    }

    /// Activates a new configuration: limits, retry, alerting, channels, the limits and settings of policies, and the
    /// decision log.
    ///
    /// A limit changes only if its section changed, so a limit that was updated at run time survives other edits. A
    /// channel is opened again only if its section changed.
    /// Changes of `[server]`, `[metrics]`, `[redis]`, and the policy directory and cache take effect only after a
    /// restart.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use tidegate::{Config, Host};
    /// let host = Host::builder().config(Config::parse("limits.shop = { rate = '5/s', burst = 5 }").unwrap()).build()?;
    /// host.apply_config(Config::parse("limits.shop = { rate = '9/s', burst = 9 }").unwrap())?;
    /// assert_eq!(host.limiter("shop").unwrap().quota().to_string(), "9/s, burst 9");
    /// # Ok::<(), tidegate::ConfigError>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Returns an error if a value is invalid or a channel cannot be opened. In this case nothing changes.
    pub fn apply_config(&self, config: Config) -> Result<(), ConfigError> {
        config.validate().map_err(ConfigError::problem)?;
        #[cfg(feature = "policies")]
        self.0.alerts.set_channels(&config.channels, self.clock())?;
        let old = self.config();
        self.0.calls.limiters.apply(&old.limits, &config.limits);
        #[cfg(feature = "policies")]
        if let Some(policies) = self.policies().filter(|_| config.policies != old.policies) {
            policies.apply_config(&config.policies);
        }
        #[cfg(feature = "policies")]
        if let Some(policies) = self.policies().filter(|_| config.decisions != old.decisions) {
            policies.configure_decision_log(&config.decisions);
        }
        self.0.calls.config.store(Arc::new(config));
        Ok(())
    }
}
