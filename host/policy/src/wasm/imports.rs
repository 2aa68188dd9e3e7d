//! The host functions: few, bounded, read-only.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{Stats, View};

use super::bindings::shared::{figures, limits, log, metrics, retry_types, settings_types};
use super::bindings::{admit, alert, v0_1};
use super::guest::State;
use super::{MAX_TEXT, cut};
use crate::say::say;

/// The lines that one verdict may log; what is beyond is dropped.
const MAX_LINES: u32 = 16;
/// The windows and limits that one verdict may ask for.
const MAX_QUESTIONS: u32 = 64;

/// What the host functions of a guest answer by.
pub struct Call {
    policy: Arc<str>,
    sight: Option<Sight>,
    lines: u32,
    questions: u32,
    /// The last warning: where the call traps then, it says more than the trap does.
    warned: Option<String>,
}

/// What the running call may look at.
struct Sight {
    view: Arc<dyn View>,
    platform: String,
    endpoint: Option<String>,
}

impl Call {
    /// Nothing to be seen yet.
    pub fn of(policy: &Arc<str>) -> Self {
        Self { policy: Arc::clone(policy), sight: None, lines: 0, questions: 0, warned: None }
    }

    /// Opens the view, for a call about this scope.
    pub fn begin(&mut self, view: &Arc<dyn View>, platform: &str, endpoint: Option<&str>) {
        let (platform, endpoint) = (platform.to_owned(), endpoint.map(str::to_owned));
        self.sight = Some(Sight { view: Arc::clone(view), platform, endpoint });
    }

    /// Closes it, and tells the last warning.
    pub fn end(&mut self) -> Option<String> {
        self.sight = None;
        self.lines = 0;
        self.questions = 0;
        self.warned.take()
    }

    fn asked(&mut self) -> wasmtime::Result<&Sight> {
        self.questions += 1;
        if self.questions > MAX_QUESTIONS {
            return Err(wasmtime::Error::msg(format!(
                "asked the host more than {MAX_QUESTIONS} times for one verdict"
            )));
        }
        let outside = || wasmtime::Error::msg("asked the host for figures outside of a verdict");
        self.sight.as_ref().ok_or_else(outside)
    }

    fn window(&mut self, range_ms: u64) -> wasmtime::Result<Stats> {
        let sight = self.asked()?;
        Ok(sight.view.window(&sight.platform, sight.endpoint.as_deref(), Duration::from_millis(range_ms)))
    }
}

impl log::Host for State {
    fn log(&mut self, level: log::Level, text: String) -> wasmtime::Result<()> {
        let call = &mut self.call;
        call.lines += 1;
        if call.lines > MAX_LINES {
            return Ok(());
        }
        let (policy, text) = (&*call.policy, cut(text, MAX_TEXT));
        match level {
            log::Level::Debug => say(tracing::Level::DEBUG, policy, &text),
            log::Level::Info => say(tracing::Level::INFO, policy, &text),
            log::Level::Warn => {
                say(tracing::Level::WARN, policy, &text);
                call.warned = Some(text);
            }
        }
        Ok(())
    }
}

impl metrics::Host for State {
    fn window(&mut self, range_ms: u64) -> wasmtime::Result<figures::Stats> {
        self.call.window(range_ms).map(|stats| outbound(&stats))
    }
}

impl limits::Host for State {
    fn limit(&mut self, name: String) -> wasmtime::Result<Option<limits::State>> {
        let state = self.call.asked()?.view.limit(&name);
        Ok(state.map(|state| limits::State {
            available: state.available,
            burst: state.burst,
            rate: state.rate,
            full_in_ms: state.full_in_ms,
        }))
    }
}

impl v0_1::alert::tidegate::policy::metrics::Host for State {
    fn window(&mut self, range_ms: u64) -> wasmtime::Result<v0_1::alert::tidegate::policy::alert_types::Stats> {
        self.call.window(range_ms).map(|stats| super::v0_1::outbound(&stats))
    }
}

impl settings_types::Host for State {}
impl retry_types::Host for State {}
impl figures::Host for State {}
impl alert::tidegate::policy::alert_types::Host for State {}
impl admit::tidegate::policy::admit_types::Host for State {}
impl v0_1::alert::tidegate::policy::alert_types::Host for State {}

/// Figures as guests see them.
pub fn outbound(stats: &Stats) -> figures::Stats {
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
