//! The blocking API, for programs without an async runtime.
//!
//! A background thread runs the host: it maintains connections, extends locks, flushes metrics and sends alerts while
//! callers block.
//!
//! ```
//! use std::time::Duration;
//! use tidegate::blocking::BlockingHost;
//! let config = tidegate::Config::with_platforms();
//! let host = BlockingHost::start(|| tidegate::Host::builder().config(config).build())?;
//! let taobao = host.limiter("taobao")?;
//! taobao.acquire(1, Duration::from_secs(1))?; // now the call may be sent
//! # Ok::<(), tidegate::blocking::BlockingError>(())
//! ```

mod admission;
mod error;
mod limiter;
mod lock;
mod retry;
mod runtime;

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{Failure, Request, Stats};

use crate::advice::{Advice, CallOptions};
#[cfg(feature = "policies")]
use crate::alerts::ActiveAlert;
use crate::config_error::ConfigError;
use crate::evaluator::Classification;
use crate::host::Host;

pub use admission::{BlockingAdmitted, BlockingReservations};
pub use error::BlockingError;
pub use limiter::{BlockingLimiter, BlockingReservation};
pub use lock::{BlockingLease, BlockingLock};
pub use retry::{BlockingCallError, BlockingRetry};
use runtime::BackgroundRuntime;

/// A host for threads that may block. Clones share the same services. Dropping the last clone shuts them down: it sends
/// the last notifications and flushes the metrics, for at most 10 s.
#[derive(Clone, Debug)]
pub struct BlockingHost {
    host: Host,
    background: Arc<BackgroundRuntime>,
}

impl BlockingHost {
    /// Builds a host and runs its background tasks on a separate thread.
    ///
    /// # Errors
    /// Returns an error if called inside an async runtime, if the thread cannot be started, or if `build` fails.
    pub fn start(build: impl FnOnce() -> Result<Host, ConfigError>) -> Result<Self, BlockingError> {
        let (background, host) = BackgroundRuntime::start(build)?;
        Ok(Self { host, background: Arc::new(background) })
    }

    /// Returns the async host with the same services. Its methods that are not async can also be used from blocking
    /// threads, for example `follow_config` and `follow_policies`, which reload the files when they change.
    ///
    /// ```no_run
    /// # #[cfg(feature = "rhai")]
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use tidegate::blocking::BlockingHost;
    /// use tidegate::{ConfigFile, Host, Policies};
    /// let file = ConfigFile::new("tidegate.toml");
    /// let config = file.read()?;
    /// let policies = Policies::open(&config.policies);
    /// let host = BlockingHost::start(|| Host::builder().config(config).policies(policies).build())?;
    /// let config_watch = host.host().follow_config(&file)?; // until the guard is dropped
    /// let policies_watch = host.host().follow_policies()?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Returns the limiter of a platform.
    ///
    /// # Errors
    /// Returns an error if the configuration has no limit for the platform.
    pub fn limiter(&self, platform: &str) -> Result<BlockingLimiter, BlockingError> {
        Ok(BlockingLimiter { inner: self.host.limiter(platform)?, background: Arc::clone(&self.background) })
    }

    /// Returns a call to a platform; [`BlockingRetry::run`] makes it and retries it.
    ///
    /// # Errors
    /// Returns an error if the configuration has no limit for the platform.
    pub fn retry(&self, platform: &str) -> Result<BlockingRetry, BlockingError> {
        Ok(BlockingRetry { inner: self.host.retry(platform)?, background: Arc::clone(&self.background) })
    }

    /// Classifies a failed call; see [`Host::classify`].
    ///
    /// # Errors
    /// Returns an error if called inside an async runtime.
    pub fn classify(&self, failure: &Failure) -> Result<Classification, BlockingError> {
        self.background.wait(self.host.classify(failure))
    }

    /// Decides whether to retry a failed attempt; see [`Host::advise`].
    ///
    /// # Errors
    /// Returns an error if called inside an async runtime.
    pub fn advise(&self, failure: &Failure, options: CallOptions) -> Result<Advice, BlockingError> {
        self.background.wait(self.host.advise(failure, options))
    }

    /// Evaluates the admission policy of the request's platform and selects the limits that apply; see [`Host::admit`].
    ///
    /// # Errors
    /// Returns an error if a policy denied the request ([`BlockingError::denied`]), if the configuration has no limit
    /// for the platform, or if called inside an async runtime.
    pub fn admit(&self, request: &Request) -> Result<BlockingAdmitted, BlockingError> {
        let inner = self.background.wait(self.host.admit(request))??;
        Ok(BlockingAdmitted { inner, background: Arc::clone(&self.background) })
    }

    /// Returns a handle to a lock, with a unique owner and a TTL of 30 s.
    ///
    /// # Errors
    /// Returns an error if the name is empty, longer than 200 bytes, or contains control characters.
    pub fn lock(&self, name: &str) -> Result<BlockingLock, BlockingError> {
        Ok(BlockingLock { inner: self.host.locks().lock(name)?, background: Arc::clone(&self.background) })
    }

    /// Returns the statistics of the last `range`, for one endpoint or for the whole platform.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable, or if called inside an async runtime.
    pub fn stats(&self, platform: &str, endpoint: Option<&str>, range: Duration) -> Result<Stats, BlockingError> {
        Ok(self.background.wait(self.host.stats(platform, endpoint, range))??)
    }

    /// Returns the latest alert notifications, newest first and at most `limit`, for one platform or for all.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable, or if called inside an async runtime.
    #[cfg(feature = "policies")]
    pub fn alert_history(
        &self,
        platform: Option<&str>,
        limit: usize,
    ) -> Result<Vec<tidegate_core::store::AlertRecord>, BlockingError> {
        Ok(self.background.wait(self.host.alerts().history(platform, limit))??)
    }

    /// Returns the rules whose condition is true now.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable, or if called inside an async runtime.
    #[cfg(feature = "policies")]
    pub fn active_alerts(&self) -> Result<Vec<ActiveAlert>, BlockingError> {
        Ok(self.background.wait(self.host.alerts().active())??)
    }
}
