//! What the running call of a guest may read and log: few things, bounded and read-only.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{HostView, LimitStatus, Stats};
use tracing::Level;
use wasmtime::{Error, Result};

use super::text::cut;
use crate::policy_log::log_line;

/// The maximum number of lines that one call may log. Further lines are dropped.
const MAX_LINES: u32 = 16;
/// The maximum number of windows, limits and bodies that one call may read.
const MAX_READS: u32 = 64;

/// What the host functions need to know about the running call.
pub struct GuestCall {
    policy: Arc<str>,
    scope: Option<CallScope>,
    lines: u32,
    reads: u32,
    /// The last warning. If the call traps, the warning says more than the trap.
    last_warning: Option<String>,
}

/// What the running call may read.
pub struct CallScope {
    /// The metrics and limits.
    pub view: Arc<dyn HostView>,
    /// The platform whose metrics it reads.
    pub platform: String,
    /// The endpoint whose metrics it reads, or `None` for those of the whole platform.
    pub endpoint: Option<String>,
    /// The body of the platform's response.
    pub body: Option<String>,
}

impl GuestCall {
    /// Creates a context in which nothing can be read yet.
    pub fn new(policy: &Arc<str>) -> Self {
        Self { policy: Arc::clone(policy), scope: None, lines: 0, reads: 0, last_warning: None }
    }

    /// Starts a call that may read this scope.
    pub fn begin(&mut self, scope: CallScope) {
        self.scope = Some(scope);
    }

    /// Ends the call. Returns its last warning.
    pub fn end(&mut self) -> Option<String> {
        self.scope = None;
        self.lines = 0;
        self.reads = 0;
        self.last_warning.take()
    }

    /// Returns the statistics of the last `range_ms` milliseconds.
    ///
    /// # Errors
    /// Returns an error outside of a call, and after too many reads.
    pub fn window(&mut self, range_ms: u64) -> Result<Stats> {
        let scope = self.count_read()?;
        Ok(scope.view.window(&scope.platform, scope.endpoint.as_deref(), Duration::from_millis(range_ms)))
    }

    /// Returns the last known state of a limit.
    ///
    /// # Errors
    /// Returns an error outside of a call, and after too many reads.
    pub fn limit(&mut self, name: &str) -> Result<Option<LimitStatus>> {
        Ok(self.count_read()?.view.limit(name))
    }

    /// Returns the body of the platform's response.
    ///
    /// # Errors
    /// Returns an error outside of a call, and after too many reads.
    pub fn body(&mut self) -> Result<Option<String>> {
        Ok(self.count_read()?.body.clone())
    }

    /// Writes a line to the host's log.
    pub fn log(&mut self, level: Level, text: String) {
        self.lines += 1;
        if self.lines > MAX_LINES {
            return;
        }
        let text = cut(text);
        log_line(level, &self.policy, &text);
        if level == Level::WARN {
            self.last_warning = Some(text);
        }
    }

    /// Counts a read, and returns what may be read.
    fn count_read(&mut self) -> Result<&CallScope> {
        self.reads += 1;
        if self.reads > MAX_READS {
            return Err(Error::msg(format!(
                "the policy read more than {MAX_READS} windows, limits and bodies in one evaluation"
            )));
        }
        let outside = || Error::msg("the policy read metrics, limits or a body outside of a call");
        self.scope.as_ref().ok_or_else(outside)
    }
}
