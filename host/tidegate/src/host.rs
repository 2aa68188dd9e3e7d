//! The host: the services of one process, and its builder.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::RwLock;
use tidegate_core::config::{Config, LimitConfig};
use tidegate_core::{Clock, Failure, Stats, StoreError, Verdict, fallback};

use crate::metrics::FleetMetrics;
use crate::pipeline::Retry;
use crate::stores::Stores;
#[cfg(feature = "policies")]
use crate::{Alerts, alerts::NotifierFactory};
use crate::{Limiter, Locks, Metrics, SystemClock};
#[cfg(feature = "policies")]
use tidegate_policy::Policies;

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
    clock: Arc<dyn Clock>,
    config: ArcSwap<Config>,
    limiters: RwLock<BTreeMap<String, Limiter>>,
    /// The limiters of platforms that were removed from the configuration. A platform that is added again continues
    /// with its limiter instead of a full bucket.
    removed_limiters: RwLock<BTreeMap<String, Limiter>>,
    metrics: FleetMetrics,
    stores: Stores,
    locks: Locks,
    #[cfg(feature = "policies")]
    view: Arc<dyn tidegate_core::HostView>,
    #[cfg(feature = "policies")]
    pub(crate) policies: Option<Arc<Policies>>,
    #[cfg(feature = "policies")]
    pub(crate) alerts: Alerts,
    #[cfg(feature = "policies")]
    pub(crate) notifiers: NotifierFactory,
    /// The configuration at the start. Some settings are read only once, from this configuration.
    #[cfg(feature = "policies")]
    pub(crate) initial_config: Config,
    #[cfg(feature = "policies")]
    pub(crate) config_status: parking_lot::Mutex<crate::ConfigStatus>,
}

/// The error for a platform without a limit in the configuration.
///
/// There is no default limit for unknown platforms, because a misspelled name must not get a quota of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown platform {name:?}; add [limits.{name}] to the configuration, or use one of: {known}")]
pub struct UnknownPlatform {
    name: String,
    known: String,
}

/// The error of [`Builder::build`]: a mistake in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BuildError(pub(crate) String);

/// Builds a [`Host`]. Every setting has a default.
#[derive(Default)]
pub struct Builder {
    config: Config,
    clock: Option<Arc<dyn Clock>>,
    read_only: bool,
    #[cfg(feature = "policies")]
    policies: Option<Arc<Policies>>,
    #[cfg(feature = "policies")]
    notifiers: Option<NotifierFactory>,
}

impl Builder {
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

    /// Makes the host read-only: it does not change limits in Redis, even if its configuration differs.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Sets the policies. Without policies, the built-in fallback classifies failures, and there are no alerts.
    #[cfg(feature = "policies")]
    #[must_use]
    pub fn policies(mut self, policies: Arc<Policies>) -> Self {
        self.policies = Some(policies);
        self
    }

    /// Sets the factory that creates notifiers for the configured channels. Without it, alerts are only recorded in the
    /// history.
    #[cfg(feature = "policies")]
    #[must_use]
    pub fn notifiers(mut self, factory: NotifierFactory) -> Self {
        self.notifiers = Some(factory);
        self
    }

    /// Builds the host. Must be called within a tokio runtime.
    ///
    /// If the configuration has `[redis]`, limits, locks, metrics and alerts are stored there. Redis need not be
    /// reachable yet.
    ///
    /// # Errors
    /// Returns an error if a channel cannot be created or the `[redis]` settings are invalid.
    pub fn build(self) -> Result<Host, BuildError> {
        #[cfg(feature = "policies")]
        if let (Some(policies), Some(clock)) = (&self.policies, &self.clock) {
            policies.set_clock(Arc::clone(clock));
        }
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::start()));
        let stores = Stores::open(&self.config, &clock, self.read_only)?;
        let limiters = self.config.limits.iter();
        let limiters = limiters.map(|(name, limit)| (name.clone(), stores.limiter(name, *limit))).collect();
        #[cfg(feature = "policies")]
        let notifiers = self.notifiers.unwrap_or_else(|| Arc::new(|_| Ok(BTreeMap::new())));
        #[cfg(feature = "policies")]
        let alerts = Alerts::new(stores.alerts());
        #[cfg(feature = "policies")]
        alerts.set_channels(notifiers(&self.config.channels).map_err(BuildError)?);
        let shared = stores.metrics(&self.config.metrics);
        let max_endpoints = self.config.metrics.max_endpoints;
        let local =
            if shared.is_some() { Metrics::with_export } else { Metrics::new }(max_endpoints, Arc::clone(&clock));
        let inner = |_weak: &std::sync::Weak<HostInner>| HostInner {
            #[cfg(feature = "policies")]
            view: Arc::new(crate::process_view::ProcessView(_weak.clone())),
            limiters: RwLock::new(limiters),
            removed_limiters: RwLock::default(),
            metrics: FleetMetrics { local, shared },
            locks: Locks::new(stores.locks(), Arc::clone(&clock)),
            stores,
            #[cfg(feature = "policies")]
            policies: self.policies,
            #[cfg(feature = "policies")]
            alerts,
            #[cfg(feature = "policies")]
            notifiers,
            #[cfg(feature = "policies")]
            initial_config: self.config.clone(),
            #[cfg(feature = "policies")]
            config_status: parking_lot::Mutex::default(),
            config: ArcSwap::from_pointee(self.config),
            clock,
        };
        let host = Host(Arc::new_cyclic(inner));
        #[cfg(feature = "policies")]
        if let Some(policies) = host.policies() {
            policies.set_view(host.view());
            policies.configure_decision_log(&host.config().decisions);
        }
        Ok(host)
    }
}

impl Host {
    /// Returns a builder for a host.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Returns the limiter of a platform, or of an additional limit by its name.
    ///
    /// # Errors
    /// Returns an error if the configuration has no limit of this name.
    pub fn limiter(&self, platform: &str) -> Result<Limiter, UnknownPlatform> {
        let limiters = self.0.limiters.read();
        limiters.get(platform).cloned().ok_or_else(|| UnknownPlatform {
            name: platform.to_owned(),
            known: limiters.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        })
    }

    /// Returns the limiters of all limits, by name.
    #[must_use]
    pub fn limiters(&self) -> BTreeMap<String, Limiter> {
        self.0.limiters.read().clone()
    }

    /// Returns a call to a platform; [`Retry::run`] makes it and retries it.
    ///
    /// # Errors
    /// Returns an error if the configuration has no limit for the platform.
    pub fn retry(&self, platform: &str) -> Result<Retry, UnknownPlatform> {
        Ok(Retry {
            limiter: self.limiter(platform)?,
            host: self.clone(),
            extra_limits: Vec::new(),
            platform: platform.to_owned(),
            endpoint: crate::metrics::OTHER_ENDPOINT.to_owned(),
            cost: 1,
            wait: crate::limiter::MAX_WAIT,
            refreshes_credentials: false,
        })
    }

    /// Returns the metrics of this process, without those of other processes.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics.local
    }

    /// Returns the statistics of the last `range`, for one endpoint or for the whole platform. With Redis they cover
    /// all processes that share it, otherwise this process.
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
        self.0.config.load_full()
    }

    /// Returns the Redis client; `None` if the configuration has no `[redis]`.
    #[cfg(feature = "redis")]
    #[must_use]
    pub fn redis(&self) -> Option<&tidegate_redis::Redis> {
        self.0.stores.redis()
    }

    /// Returns the data that policies can query.
    #[cfg(feature = "policies")]
    pub(crate) fn view(&self) -> Arc<dyn tidegate_core::HostView> {
        Arc::clone(&self.0.view)
    }

    /// Returns the clock that all services of this host use.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// Classifies a failed call. Returns the verdict and the file of the policy that returned it, or `fallback`.
    #[must_use]
    pub fn classify(&self, failure: &Failure) -> (Verdict, String) {
        #[cfg(feature = "policies")]
        if let Some(policies) = &self.0.policies {
            let decision = policies.classify(failure);
            return (decision.verdict, decision.by.to_string());
        }
        (fallback::classify(failure), "fallback".to_owned())
    }

    /// Returns whether a policy that may classify failures of this platform reads [`Failure::body`]. Otherwise the
    /// caller may omit the body.
    #[must_use]
    pub fn reads_body(&self, platform: &str) -> bool {
        #[cfg(feature = "policies")]
        if let Some(policies) = &self.0.policies {
            return policies.reads_body(platform);
        }
        let _ = platform;
        false
    }

    /// Activates a new configuration: limits, retry, alerting, channels, the limits and settings of policies, and the
    /// decision log.
    ///
    /// A limit changes only if its section changed, so a limit that was updated at run time survives other edits.
    /// Changes of `[server]`, `[metrics]`, `[redis]`, and the policy directory and cache take effect only after a
    /// restart.
    ///
    /// # Errors
    /// Returns an error if a channel cannot be created. In this case nothing changes.
    pub fn apply(&self, config: Config) -> Result<(), String> {
        #[cfg(feature = "policies")]
        let notifiers = (self.0.notifiers)(&config.channels)?;
        let old = self.config();
        self.apply_limits(&old.limits, &config.limits);
        #[cfg(feature = "policies")]
        self.0.alerts.set_channels(notifiers);
        #[cfg(feature = "policies")]
        if let Some(policies) = self.policies().filter(|_| config.policies != old.policies) {
            policies.configure(&config.policies);
        }
        #[cfg(feature = "policies")]
        if let Some(policies) = self.policies().filter(|_| config.decisions != old.decisions) {
            policies.configure_decision_log(&config.decisions);
        }
        self.0.config.store(Arc::new(config));
        Ok(())
    }

    fn apply_limits(&self, old: &BTreeMap<String, LimitConfig>, new: &BTreeMap<String, LimitConfig>) {
        let (mut limiters, mut removed) = (self.0.limiters.write(), self.0.removed_limiters.write());
        removed.extend(limiters.extract_if(.., |name, _| !new.contains_key(name)));
        for (name, limit) in new {
            match limiters.get(name) {
                Some(_) if old.get(name) == Some(limit) => {}
                Some(limiter) => limiter.configure(*limit),
                None => {
                    let restored = removed.remove(name).inspect(|limiter| limiter.configure(*limit));
                    let limiter = restored.unwrap_or_else(|| self.0.stores.limiter(name, *limit));
                    limiters.insert(name.clone(), limiter);
                }
            }
        }
    }
}
