//! The functions that the host provides to guests: few, bounded and read-only.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::clock::millis;
use tidegate_core::{HostView, Stats};

use super::bindings::shared::{figures, limits, log, metrics, retry_types, settings_types};
use super::bindings::{admit, alert, v0_1};
use super::guest::GuestState;
use super::{MAX_TEXT_SIZE, cut};
use crate::policy_log::log_line;

/// The maximum number of lines that one call may log. Further lines are dropped.
const MAX_LINES: u32 = 16;
/// The maximum number of windows and limits that one call may read.
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
struct CallScope {
    view: Arc<dyn HostView>,
    platform: String,
    endpoint: Option<String>,
}

impl GuestCall {
    /// Creates a context in which nothing can be read yet.
    pub fn new(policy: &Arc<str>) -> Self {
        Self { policy: Arc::clone(policy), scope: None, lines: 0, reads: 0, last_warning: None }
    }

    /// Starts a call that may read the metrics and limits of this platform and endpoint.
    pub fn begin(&mut self, view: &Arc<dyn HostView>, platform: &str, endpoint: Option<&str>) {
        let (platform, endpoint) = (platform.to_owned(), endpoint.map(str::to_owned));
        self.scope = Some(CallScope { view: Arc::clone(view), platform, endpoint });
    }

    /// Ends the call. Returns its last warning.
    pub fn end(&mut self) -> Option<String> {
        self.scope = None;
        self.lines = 0;
        self.reads = 0;
        self.last_warning.take()
    }

    /// Counts a read, and returns what may be read.
    fn count_read(&mut self) -> wasmtime::Result<&CallScope> {
        self.reads += 1;
        if self.reads > MAX_READS {
            return Err(wasmtime::Error::msg(format!(
                "the policy read more than {MAX_READS} windows and limits in one evaluation"
            )));
        }
        let outside = || wasmtime::Error::msg("the policy read metrics or limits outside of a call");
        self.scope.as_ref().ok_or_else(outside)
    }

    fn window(&mut self, range_ms: u64) -> wasmtime::Result<Stats> {
        let scope = self.count_read()?;
        Ok(scope.view.window(&scope.platform, scope.endpoint.as_deref(), Duration::from_millis(range_ms)))
    }
}

impl log::Host for GuestState {
    fn log(&mut self, level: log::Level, text: String) -> wasmtime::Result<()> {
        let call = &mut self.call;
        call.lines += 1;
        if call.lines > MAX_LINES {
            return Ok(());
        }
        let (policy, text) = (&*call.policy, cut(text, MAX_TEXT_SIZE));
        match level {
            log::Level::Debug => log_line(tracing::Level::DEBUG, policy, &text),
            log::Level::Info => log_line(tracing::Level::INFO, policy, &text),
            log::Level::Warn => {
                log_line(tracing::Level::WARN, policy, &text);
                call.last_warning = Some(text);
            }
        }
        Ok(())
    }
}

impl metrics::Host for GuestState {
    fn window(&mut self, range_ms: u64) -> wasmtime::Result<figures::Stats> {
        self.call.window(range_ms).map(|stats| stats_to_wit(&stats))
    }
}

impl limits::Host for GuestState {
    fn limit(&mut self, name: String) -> wasmtime::Result<Option<limits::State>> {
        let state = self.call.count_read()?.view.limit(&name);
        Ok(state.map(|state| limits::State {
            available: state.available,
            burst: state.burst,
            rate: state.rate.per_second(),
            full_in_ms: millis(state.full_in),
        }))
    }
}

impl v0_1::alert::tidegate::policy::metrics::Host for GuestState {
    fn window(&mut self, range_ms: u64) -> wasmtime::Result<v0_1::alert::tidegate::policy::alert_types::Stats> {
        self.call.window(range_ms).map(|stats| super::v0_1::stats_to_wit(&stats))
    }
}

impl settings_types::Host for GuestState {}
impl retry_types::Host for GuestState {}
impl figures::Host for GuestState {}
impl alert::tidegate::policy::alert_types::Host for GuestState {}
impl admit::tidegate::policy::admit_types::Host for GuestState {}
impl v0_1::alert::tidegate::policy::alert_types::Host for GuestState {}

/// Converts statistics to the type of the contract.
pub fn stats_to_wit(stats: &Stats) -> figures::Stats {
    figures::Stats {
        count: stats.count,
        success: stats.success,
        errors: stats.errors,
        limited: stats.limited,
        total_ms: stats.total_ms,
        error_rate: stats.error_rate,
        success_rate: stats.success_rate,
        limited_rate: stats.limited_rate,
        rps: stats.rps,
        p50: stats.p50,
        p95: stats.p95,
        p99: stats.p99,
        from_ms: stats.from_ms,
        to_ms: stats.to_ms,
    }
}
