//! Where the services are put together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::RwLock;
use tidegate_core::config::{Config, LimitConfig};
use tidegate_core::{Clock, Failure, Stats, StoreError, Verdict, fallback};

use crate::metrics::Fleet;
use crate::pipeline::Retry;
use crate::stores::Stores;
#[cfg(feature = "policies")]
use crate::{Alerts, alerts::NotifierFactory};
use crate::{Limiter, Locks, Metrics, SystemClock};
#[cfg(feature = "policies")]
use tidegate_policy::Policies;

/// The services of one process; clones share them.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let host = tidegate::Host::builder().build().unwrap();
/// assert!(host.limiter("taobao").unwrap().check(1).await.is_allowed());
/// assert!(host.limiter("toabao").is_err());
/// # });
/// ```
#[derive(Clone)]
pub struct Host(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    clock: Arc<dyn Clock>,
    config: ArcSwap<Config>,
    limiters: RwLock<BTreeMap<String, Limiter>>,
    /// Limiters of platforms that left the configuration: one that comes back finds its level, not a full bucket.
    retired: RwLock<BTreeMap<String, Limiter>>,
    metrics: Fleet,
    stores: Stores,
    locks: Locks,
    #[cfg(feature = "policies")]
    view: Arc<dyn tidegate_core::View>,
    #[cfg(feature = "policies")]
    pub(crate) policies: Option<Arc<Policies>>,
    #[cfg(feature = "policies")]
    pub(crate) alerts: Alerts,
    #[cfg(feature = "policies")]
    pub(crate) notifiers: NotifierFactory,
    /// What is read at the start alone holds as it stands here.
    #[cfg(feature = "policies")]
    pub(crate) begun: Config,
    #[cfg(feature = "policies")]
    pub(crate) config_status: parking_lot::Mutex<crate::ConfigStatus>,
}

/// A platform without a limit in the configuration.
///
/// It is refused rather than given a limit of its own: a misspelt name must not open a second quota.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown platform {name:?}; add [limits.{name}] to the configuration, or use one of: {known}")]
pub struct UnknownPlatform {
    name: String,
    known: String,
}

/// Why a host cannot be put together: what in the configuration is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BuildError(pub(crate) String);

/// What a [`Host`] is made of; everything has a default.
#[derive(Default)]
pub struct Builder {
    config: Config,
    clock: Option<Arc<dyn Clock>>,
    observer: bool,
    #[cfg(feature = "policies")]
    policies: Option<Arc<Policies>>,
    #[cfg(feature = "policies")]
    notifiers: Option<NotifierFactory>,
}

impl Builder {
    /// The configuration; `Config::default()` unless given.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The clock; the system's unless given.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Makes a host for one who only looks: limits in Redis stay as they are, whatever the configuration says.
    #[must_use]
    pub fn observer(mut self) -> Self {
        self.observer = true;
        self
    }

    /// The policies; without them the built-in fallback judges failures, and there are no alerts.
    #[cfg(feature = "policies")]
    #[must_use]
    pub fn policies(mut self, policies: Arc<Policies>) -> Self {
        self.policies = Some(policies);
        self
    }

    /// How notifiers are made of the configured channels; without it alerts go to the history alone.
    #[cfg(feature = "policies")]
    #[must_use]
    pub fn notifiers(mut self, factory: NotifierFactory) -> Self {
        self.notifiers = Some(factory);
        self
    }

    /// The host; within a tokio runtime, whose clock it uses unless one was given.
    ///
    /// Where the configuration has `[redis]`, limits, locks, metrics and alerts live there; it need not be reachable yet.
    ///
    /// # Errors
    /// Where a channel cannot be made, or no connection to Redis can even be tried.
    pub fn build(self) -> Result<Host, BuildError> {
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::start()));
        let stores = Stores::open(&self.config, &clock, self.observer)?;
        let limiters = self.config.limits.iter();
        let limiters = limiters.map(|(name, limit)| (name.clone(), stores.limiter(name, *limit))).collect();
        #[cfg(feature = "policies")]
        let notifiers = self.notifiers.unwrap_or_else(|| Arc::new(|_| Ok(BTreeMap::new())));
        #[cfg(feature = "policies")]
        let alerts = Alerts::new(stores.alerts());
        #[cfg(feature = "policies")]
        alerts.connect(notifiers(&self.config.channels).map_err(BuildError)?);
        let shared = stores.metrics(&self.config.metrics);
        let most = self.config.metrics.max_endpoints;
        let local = if shared.is_some() { Metrics::told } else { Metrics::new }(most, Arc::clone(&clock));
        let inner = |_me: &std::sync::Weak<Inner>| Inner {
            #[cfg(feature = "policies")]
            view: Arc::new(crate::view::HostView(_me.clone())),
            limiters: RwLock::new(limiters),
            retired: RwLock::default(),
            metrics: Fleet { local, shared },
            locks: Locks::new(stores.locks(), Arc::clone(&clock)),
            stores,
            #[cfg(feature = "policies")]
            policies: self.policies,
            #[cfg(feature = "policies")]
            alerts,
            #[cfg(feature = "policies")]
            notifiers,
            #[cfg(feature = "policies")]
            begun: self.config.clone(),
            #[cfg(feature = "policies")]
            config_status: parking_lot::Mutex::default(),
            config: ArcSwap::from_pointee(self.config),
            clock,
        };
        let host = Host(Arc::new_cyclic(inner));
        #[cfg(feature = "policies")]
        if let Some(policies) = host.policies() {
            policies.attach(host.view());
            policies.log_decisions(&host.config().decisions);
        }
        Ok(host)
    }
}

impl Host {
    /// A host to be put together.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The limiter of a platform.
    ///
    /// # Errors
    /// Where the configuration names no such platform.
    pub fn limiter(&self, platform: &str) -> Result<Limiter, UnknownPlatform> {
        let limiters = self.0.limiters.read();
        limiters.get(platform).cloned().ok_or_else(|| UnknownPlatform {
            name: platform.to_owned(),
            known: limiters.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        })
    }

    /// Every platform's limiter, by name.
    #[must_use]
    pub fn limiters(&self) -> BTreeMap<String, Limiter> {
        self.0.limiters.read().clone()
    }

    /// A call to a platform, to be made as often as is worth it.
    ///
    /// # Errors
    /// Where the configuration names no such platform.
    pub fn retry(&self, platform: &str) -> Result<Retry, UnknownPlatform> {
        Ok(Retry {
            limiter: self.limiter(platform)?,
            host: self.clone(),
            further: Vec::new(),
            platform: platform.to_owned(),
            endpoint: crate::metrics::OTHER.to_owned(),
            cost: 1,
            wait: crate::limiter::HORIZON,
            refreshes: false,
        })
    }

    /// Where this process counts its calls; its own figures, those of other processes not among them.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics.local
    }

    /// The figures of the last `range`, of one endpoint or of the whole platform: of all processes that share a
    /// Redis, of this one without.
    ///
    /// In Redis the window ends where the last flush arrived, so a call is seen up to `[metrics] flush` later.
    ///
    /// # Errors
    /// Where Redis is away.
    pub async fn figures(&self, platform: &str, endpoint: Option<&str>, range: Duration) -> Result<Stats, StoreError> {
        self.0.metrics.figures(platform, endpoint, range).await
    }

    /// Every platform and endpoint that was counted, by all processes that share a Redis or by this one.
    ///
    /// # Errors
    /// Where Redis is away.
    pub async fn endpoints(&self) -> Result<BTreeMap<String, Vec<String>>, StoreError> {
        self.0.metrics.endpoints().await
    }

    pub(crate) fn fleet(&self) -> Fleet {
        self.0.metrics.clone()
    }

    /// The locks of this process, or of all that share a Redis.
    #[must_use]
    pub fn locks(&self) -> &Locks {
        &self.0.locks
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.0.config.load_full()
    }

    /// The way to Redis, where the configuration has one.
    #[cfg(feature = "redis")]
    #[must_use]
    pub fn redis(&self) -> Option<&tidegate_redis::Redis> {
        self.0.stores.redis()
    }

    /// What policies may look at.
    #[cfg(feature = "policies")]
    pub(crate) fn view(&self) -> Arc<dyn tidegate_core::View> {
        Arc::clone(&self.0.view)
    }

    /// The clock that everything here goes by.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// The verdict on a failed call, and who gave it: a policy's file, or `fallback`.
    #[must_use]
    pub fn classify(&self, failure: &Failure) -> (Verdict, String) {
        #[cfg(feature = "policies")]
        if let Some(policies) = &self.0.policies {
            let decided = policies.classify(failure);
            return (decided.verdict, decided.by.to_string());
        }
        (fallback::classify(failure), "fallback".to_owned())
    }

    /// Puts a new configuration in force: limits, retry, alerting, channels, the bounds and settings of
    /// policies, and what is written of their decisions.
    ///
    /// A limit is touched only where the configuration changed it, so one that was updated at run time survives an
    /// edit elsewhere. `[server]`, `[metrics]`, `[redis]` and the directory of policies are read at start.
    ///
    /// # Errors
    /// Where a channel cannot be made; nothing is changed then.
    pub fn apply(&self, config: Config) -> Result<(), String> {
        #[cfg(feature = "policies")]
        let notifiers = (self.0.notifiers)(&config.channels)?;
        let old = self.config();
        self.apply_limits(&old.limits, &config.limits);
        #[cfg(feature = "policies")]
        self.0.alerts.connect(notifiers);
        #[cfg(feature = "policies")]
        if let Some(policies) = self.policies().filter(|_| config.policies != old.policies) {
            policies.configure(&config.policies);
        }
        #[cfg(feature = "policies")]
        if let Some(policies) = self.policies().filter(|_| config.decisions != old.decisions) {
            policies.log_decisions(&config.decisions);
        }
        self.0.config.store(Arc::new(config));
        Ok(())
    }

    fn apply_limits(&self, old: &BTreeMap<String, LimitConfig>, new: &BTreeMap<String, LimitConfig>) {
        let (mut limiters, mut retired) = (self.0.limiters.write(), self.0.retired.write());
        retired.extend(limiters.extract_if(.., |name, _| !new.contains_key(name)));
        for (name, limit) in new {
            match limiters.get(name) {
                Some(_) if old.get(name) == Some(limit) => {}
                Some(limiter) => limiter.configure(*limit),
                None => {
                    let returned = retired.remove(name).inspect(|limiter| limiter.configure(*limit));
                    let limiter = returned.unwrap_or_else(|| self.0.stores.limiter(name, *limit));
                    limiters.insert(name.clone(), limiter);
                }
            }
        }
    }
}
