//! Every service for programs without an async runtime.
//!
//! A host of its own thread keeps connections, extensions of locks, flushes and alerts going while callers block.
//!
//! ```
//! use std::time::Duration;
//! use tidegate::blocking::Host;
//! let host = Host::start(|| tidegate::Host::builder().build())?;
//! let taobao = host.limiter("taobao")?;
//! assert!(taobao.acquire(1, Duration::from_secs(1))?.is_allowed());
//! # Ok::<(), tidegate::blocking::Error>(())
//! ```

mod limiter;
mod lock;
mod retry;

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{Stats, StoreError};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::oneshot;

use crate::{BuildError, LockError, UnknownPlatform};

pub use limiter::Limiter;
pub use lock::{Lease, Lock};
pub use retry::{CallError, Retry};

/// How long the end of a host waits for what is on its way: figures to be flushed, alerts to be told.
const DRAIN: Duration = Duration::from_secs(10);

/// Why a service gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] Kind);

#[derive(Clone, Debug, thiserror::Error)]
enum Kind {
    #[error(
        "tidegate::blocking was called inside an async runtime, where it would hold up other tasks; \
         await the services of tidegate::Host there"
    )]
    InsideRuntime,
    #[error("no thread can be started: {0}")]
    NoThread(String),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Unknown(#[from] UnknownPlatform),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl Error {
    /// Whether it was called inside an async runtime.
    #[must_use]
    pub const fn is_inside_runtime(&self) -> bool {
        matches!(self.0, Kind::InsideRuntime)
    }

    /// Whether Redis could not be reached, so that the same may succeed later.
    #[must_use]
    pub const fn is_away(&self) -> bool {
        matches!(&self.0, Kind::Store(error) | Kind::Lock(LockError::Store(error)) if error.is_away())
    }
}

impl From<UnknownPlatform> for Error {
    fn from(error: UnknownPlatform) -> Self {
        Self(error.into())
    }
}

impl From<LockError> for Error {
    fn from(error: LockError) -> Self {
        Self(error.into())
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self(error.into())
    }
}

/// The services of one process for threads that may block; clones share them, and the last one dropped ends them.
#[derive(Clone)]
pub struct Host {
    services: crate::Host,
    engine: Arc<Engine>,
}

impl Host {
    /// Builds a host on a thread of its own and lets it do all that a host does by itself.
    ///
    /// # Errors
    /// Inside an async runtime; where no thread can be started; and what building the host brings.
    pub fn start(build: impl FnOnce() -> Result<crate::Host, BuildError>) -> Result<Self, Error> {
        outside()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("tidegate")
            .enable_all()
            .build()
            .map_err(|error| Kind::NoThread(error.to_string()))?;
        let services = runtime.block_on(async { build() }).map_err(Kind::from)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let running = runtime.spawn(services.clone().run(async {
            // An error says that the sender is gone, which is an end as well.
            let _ = stopped.await;
        }));
        let engine = Engine { runtime: Some(runtime), ending: Some((stop, running)) };
        Ok(Self { services, engine: Arc::new(engine) })
    }

    /// The same services for async callers, and for what needs no waiting: configuration, metrics, policies.
    #[must_use]
    pub fn services(&self) -> &crate::Host {
        &self.services
    }

    /// The limiter of a platform.
    ///
    /// # Errors
    /// Where the configuration names no such platform.
    pub fn limiter(&self, platform: &str) -> Result<Limiter, Error> {
        Ok(Limiter { inner: self.services.limiter(platform)?, engine: Arc::clone(&self.engine) })
    }

    /// A call to a platform, to be made as often as is worth it.
    ///
    /// # Errors
    /// Where the configuration names no such platform.
    pub fn retry(&self, platform: &str) -> Result<Retry, Error> {
        Ok(Retry { inner: self.services.retry(platform)?, engine: Arc::clone(&self.engine) })
    }

    /// A lock by its name, for an owner of its own and with a ttl of 30 s unless said.
    ///
    /// # Errors
    /// Where the name is empty, longer than 200 bytes, or has control characters.
    pub fn lock(&self, name: &str) -> Result<Lock, Error> {
        Ok(Lock { inner: self.services.locks().lock(name)?, engine: Arc::clone(&self.engine) })
    }

    /// The figures of the last `range`, of one endpoint or of the whole platform.
    ///
    /// # Errors
    /// Where Redis is away, or inside an async runtime.
    pub fn figures(&self, platform: &str, endpoint: Option<&str>, range: Duration) -> Result<Stats, Error> {
        Ok(self.engine.wait(self.services.figures(platform, endpoint, range))??)
    }

    /// The newest messages first, of one platform or of all, at most `limit`.
    ///
    /// # Errors
    /// Where Redis is away, or inside an async runtime.
    #[cfg(feature = "policies")]
    pub fn alert_history(&self, platform: Option<&str>, limit: usize) -> Result<Vec<crate::AlertRecord>, Error> {
        Ok(self.engine.wait(self.services.alerts().history(platform, limit))??)
    }

    /// The rules whose condition holds now.
    ///
    /// # Errors
    /// Where Redis is away, or inside an async runtime.
    #[cfg(feature = "policies")]
    pub fn active_alerts(&self) -> Result<Vec<crate::ActiveAlert>, Error> {
        Ok(self.engine.wait(self.services.alerts().active())??)
    }
}

/// The runtime that works while callers block.
struct Engine {
    /// There until it is dropped.
    runtime: Option<Runtime>,
    ending: Option<(oneshot::Sender<()>, tokio::task::JoinHandle<()>)>,
}

impl Engine {
    /// Blocks this thread until the future ends; the runtime's own thread does the rest.
    fn wait<F: Future>(&self, future: F) -> Result<F::Output, Error> {
        outside()?;
        match &self.runtime {
            Some(runtime) => Ok(runtime.block_on(future)),
            None => Err(Kind::NoThread("the host has ended".to_owned()).into()),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        if let Some((stop, running)) = self.ending.take() {
            drop(stop);
            if outside().is_ok() {
                let _ = runtime.block_on(async { tokio::time::timeout(DRAIN, running).await });
            }
        }
        // Inside an async runtime a thread may not wait, not even for the end of another.
        runtime.shutdown_background();
    }
}

/// A thread that drives an async runtime must not block: it would hold up the very tasks that it waits for.
fn outside() -> Result<(), Kind> {
    match Handle::try_current() {
        Ok(_) => Err(Kind::InsideRuntime),
        Err(_) => Ok(()),
    }
}
