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

mod limiter;
mod lock;
mod retry;

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{Refusal, Stats, StoreError};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::oneshot;

use crate::{BuildError, LockError, UnknownPlatform};

pub use limiter::BlockingLimiter;
pub use lock::{BlockingLease, BlockingLock};
pub use retry::{BlockingCallError, BlockingRetry};

/// How long dropping a host waits for its last metric flush and its alert notifications.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// An error of the blocking API.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct BlockingError(#[from] ErrorKind);

#[derive(Clone, Debug, thiserror::Error)]
enum ErrorKind {
    #[error(
        "tidegate::blocking was called inside an async runtime, where it would block other tasks; \
         use the async methods of tidegate::Host there"
    )]
    InsideRuntime,
    #[error("could not start the background runtime: {0}")]
    RuntimeNotStarted(String),
    #[error("the host has shut down")]
    ShutDown,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Unknown(#[from] UnknownPlatform),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl BlockingError {
    /// Returns whether the method was called inside an async runtime.
    #[must_use]
    pub const fn is_inside_runtime(&self) -> bool {
        matches!(self.0, ErrorKind::InsideRuntime)
    }

    /// Returns the refusal if a limit refused the call.
    #[must_use]
    pub const fn refusal(&self) -> Option<Refusal> {
        match self.0 {
            ErrorKind::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Returns whether Redis is unavailable, so that the same call may succeed later.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        matches!(&self.0, ErrorKind::Store(error) | ErrorKind::Lock(LockError::Store(error)) if error.is_unavailable())
    }
}

impl From<Refusal> for BlockingError {
    fn from(refusal: Refusal) -> Self {
        Self(refusal.into())
    }
}

impl From<UnknownPlatform> for BlockingError {
    fn from(error: UnknownPlatform) -> Self {
        Self(error.into())
    }
}

impl From<LockError> for BlockingError {
    fn from(error: LockError) -> Self {
        Self(error.into())
    }
}

impl From<StoreError> for BlockingError {
    fn from(error: StoreError) -> Self {
        Self(error.into())
    }
}

/// A host for threads that may block. Clones share the same services; dropping the last clone shuts them down.
#[derive(Clone)]
pub struct BlockingHost {
    services: crate::Host,
    background: Arc<BackgroundRuntime>,
}

impl BlockingHost {
    /// Builds a host and runs its background tasks on a separate thread.
    ///
    /// # Errors
    /// Returns an error if called inside an async runtime, if the thread cannot be started, or if `build` fails.
    pub fn start(build: impl FnOnce() -> Result<crate::Host, BuildError>) -> Result<Self, BlockingError> {
        ensure_outside_runtime()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("tidegate")
            .enable_all()
            .build()
            .map_err(|error| ErrorKind::RuntimeNotStarted(error.to_string()))?;
        let services = runtime.block_on(async { build() }).map_err(ErrorKind::from)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let running = runtime.spawn(services.clone().run(async {
            // An error means that the sender was dropped, which also is a signal to stop.
            let _ = stopped.await;
        }));
        let background = BackgroundRuntime { runtime: Some(runtime), shutdown: Some((stop, running)) };
        Ok(Self { services, background: Arc::new(background) })
    }

    /// Returns the async host with the same services; its non-async methods (configuration, metrics, policies) can also
    /// be used from blocking threads.
    #[must_use]
    pub fn services(&self) -> &crate::Host {
        &self.services
    }

    /// Returns the limiter of a platform.
    ///
    /// # Errors
    /// Returns an error if the configuration has no limit for the platform.
    pub fn limiter(&self, platform: &str) -> Result<BlockingLimiter, BlockingError> {
        Ok(BlockingLimiter { inner: self.services.limiter(platform)?, background: Arc::clone(&self.background) })
    }

    /// Returns a call to a platform; [`BlockingRetry::run`] makes it and retries it.
    ///
    /// # Errors
    /// Returns an error if the configuration has no limit for the platform.
    pub fn retry(&self, platform: &str) -> Result<BlockingRetry, BlockingError> {
        Ok(BlockingRetry { inner: self.services.retry(platform)?, background: Arc::clone(&self.background) })
    }

    /// Returns a handle to a lock, with a unique owner and a TTL of 30 s.
    ///
    /// # Errors
    /// Returns an error if the name is empty, longer than 200 bytes, or contains control characters.
    pub fn lock(&self, name: &str) -> Result<BlockingLock, BlockingError> {
        Ok(BlockingLock { inner: self.services.locks().lock(name)?, background: Arc::clone(&self.background) })
    }

    /// Returns the statistics of the last `range`, for one endpoint or for the whole platform.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable, or if called inside an async runtime.
    pub fn stats(&self, platform: &str, endpoint: Option<&str>, range: Duration) -> Result<Stats, BlockingError> {
        Ok(self.background.wait(self.services.stats(platform, endpoint, range))??)
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
    ) -> Result<Vec<crate::AlertRecord>, BlockingError> {
        Ok(self.background.wait(self.services.alerts().history(platform, limit))??)
    }

    /// Returns the rules whose condition is true now.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable, or if called inside an async runtime.
    #[cfg(feature = "policies")]
    pub fn active_alerts(&self) -> Result<Vec<crate::ActiveAlert>, BlockingError> {
        Ok(self.background.wait(self.services.alerts().active())??)
    }
}

/// The runtime of the background thread.
struct BackgroundRuntime {
    /// `Some` until the value is dropped.
    runtime: Option<Runtime>,
    /// The signal to stop, and the task that runs the host.
    shutdown: Option<(oneshot::Sender<()>, tokio::task::JoinHandle<()>)>,
}

impl BackgroundRuntime {
    /// Blocks this thread until the future completes; background tasks continue on the runtime's own thread.
    fn wait<F: Future>(&self, future: F) -> Result<F::Output, BlockingError> {
        ensure_outside_runtime()?;
        match &self.runtime {
            Some(runtime) => Ok(runtime.block_on(future)),
            None => Err(ErrorKind::ShutDown.into()),
        }
    }
}

impl Drop for BackgroundRuntime {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        if let Some((stop, running)) = self.shutdown.take() {
            drop(stop);
            if ensure_outside_runtime().is_ok() {
                let _ = runtime.block_on(async { tokio::time::timeout(SHUTDOWN_TIMEOUT, running).await });
            }
        }
        // Inside an async runtime this thread must not block, not even to wait for the background thread.
        runtime.shutdown_background();
    }
}

/// Returns an error on a thread that drives an async runtime: if it blocked, it would block the tasks that it waits
/// for.
fn ensure_outside_runtime() -> Result<(), ErrorKind> {
    match Handle::try_current() {
        Ok(_) => Err(ErrorKind::InsideRuntime),
        Err(_) => Ok(()),
    }
}
