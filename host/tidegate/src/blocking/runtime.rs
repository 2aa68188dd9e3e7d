//! The runtime of the background thread, on which callers wait for the async API.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use tokio::sync::oneshot;

use super::error::{BlockingError, BlockingErrorKind};
use crate::config_error::ConfigError;
use crate::host::Host;

/// How long dropping a host waits for its last metric flush and its alert notifications.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// The runtime of the background thread.
pub struct BackgroundRuntime {
    /// `Some` until the value is dropped.
    runtime: Option<Runtime>,
    /// The signal to stop, and the task that runs the host.
    shutdown: Option<(oneshot::Sender<()>, tokio::task::JoinHandle<()>)>,
}

impl fmt::Debug for BackgroundRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackgroundRuntime").finish_non_exhaustive()
    }
}

impl BackgroundRuntime {
    /// Starts the thread, builds a host on it and runs the host's background tasks.
    pub fn start(build: impl FnOnce() -> Result<Host, ConfigError>) -> Result<(Self, Host), BlockingError> {
        ensure_outside_runtime()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("tidegate")
            .enable_all()
            .build()
            .map_err(|error| BlockingErrorKind::RuntimeNotStarted(Arc::new(error)))?;
        let host = runtime.block_on(async { build() })?;
        let (stop, stopped) = oneshot::channel::<()>();
        let running = runtime.spawn(host.clone().run(async {
            // An error means that the sender was dropped, which also is a signal to stop.
            let _ = stopped.await;
        }));
        Ok((Self { runtime: Some(runtime), shutdown: Some((stop, running)) }, host))
    }

    /// Blocks this thread until the future completes; background tasks continue on the runtime's own thread.
    pub fn wait<F: Future>(&self, future: F) -> Result<F::Output, BlockingError> {
        ensure_outside_runtime()?;
        match &self.runtime {
            Some(runtime) => Ok(runtime.block_on(future)),
            None => Err(BlockingErrorKind::ShutDown.into()),
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
fn ensure_outside_runtime() -> Result<(), BlockingErrorKind> {
    match Handle::try_current() {
        Ok(_) => Err(BlockingErrorKind::InsideRuntime),
        Err(_) => Ok(()),
    }
}
