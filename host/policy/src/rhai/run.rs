//! The state of the script that runs on the current thread: its deadline, and the data that its functions return.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rhai::EvalAltResult;
use tidegate_core::HostView;
use tidegate_core::config::Settings;

use super::values::host_error;
use crate::policy_log::log_line;

/// The number of operations between two readings of the clock. It is small enough for a deadline of a millisecond.
const CLOCK_INTERVAL: u32 = 16;
/// The number of operations before the first reading. A condition such as `error_rate > 0.1` ends earlier, and never
/// reads the clock.
const FIRST_CLOCK_READING: u32 = 4;
/// The maximum time that counts against the deadline between two readings. The operations between them never take
/// longer, so during any further time the thread was suspended.
const MAX_INTERVAL: Duration = Duration::from_millis(2);
/// A script ends when the real time exceeds its deadline times this factor, even if its thread was suspended.
const MAX_REAL_TIME_FACTOR: u32 = 4;
/// The maximum number of lines that one evaluation logs; further lines are dropped.
const MAX_LINES: u32 = 16;
/// The maximum number of calls of `window` and `limit` in one evaluation.
const MAX_QUERIES: u32 = 64;

/// The data that functions such as `header`, `window` and `setting` return. A script that calls none of them runs
/// without it.
#[derive(Clone, Debug, Default)]
pub struct CallContext {
    /// The path of the policy within the directory, for its log. Without it, the script logs nothing.
    pub policy: Option<Arc<str>>,
    /// The selected HTTP headers.
    pub headers: Vec<(String, String)>,
    /// The labels of the request.
    pub labels: Vec<(String, String)>,
    /// The metrics and limits.
    pub view: Option<CallView>,
    /// The settings of the policy.
    pub settings: Arc<Settings>,
}

/// The metrics and limits that a script reads.
#[derive(Clone)]
pub struct CallView {
    /// Returns the windows and limits.
    pub host: Arc<dyn HostView>,
    /// The platform of the windows.
    pub platform: String,
    /// The endpoint of the windows; `None` for the whole platform.
    pub endpoint: Option<String>,
}

impl fmt::Debug for CallView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("CallView");
        debug.field("platform", &self.platform).field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl CallContext {
    /// Calls `f`. Until it returns, the host functions of scripts on this thread return the data of this context.
    #[cfg(feature = "scripts")]
    pub fn provide<T>(self, f: impl FnOnce() -> T) -> T {
        run_with(Some(self), Duration::MAX, f)
    }
}

/// The context of the running call, and how much of its limits the script has used.
struct RunningCall {
    context: CallContext,
    /// The number of logged lines.
    lines: u32,
    /// The number of calls of `window` and `limit`.
    queries: u32,
}

thread_local! {
    static CLOCK: ScriptClock = const { ScriptClock::new() };
    static CALL: RefCell<Option<RunningCall>> = const { RefCell::new(None) };
}

/// Measures the running time of a script.
struct ScriptClock {
    deadline: Cell<Duration>,
    started_at: Cell<Option<Instant>>,
    /// The time of the last reading, since the start.
    last: Cell<Duration>,
    /// The time that counts against the deadline.
    used: Cell<Duration>,
    /// The number of operations. The engine's own number does not include the operations of functions that an array
    /// calls.
    operations: Cell<u32>,
    /// Whether the deadline has passed. The value stays `true` until the call ends, so that every further operation
    /// fails: Rhai ignores the error of a single operation while it prints an array.
    expired: Cell<bool>,
}

impl ScriptClock {
    const fn new() -> Self {
        Self {
            deadline: Cell::new(Duration::MAX),
            started_at: Cell::new(None),
            last: Cell::new(Duration::ZERO),
            used: Cell::new(Duration::ZERO),
            operations: Cell::new(0),
            expired: Cell::new(false),
        }
    }

    fn start(&self, deadline: Duration) {
        self.deadline.set(deadline);
        self.started_at.set(None);
        self.last.set(Duration::ZERO);
        self.used.set(Duration::ZERO);
        self.operations.set(0);
        self.expired.set(false);
    }

    /// Counts an operation and returns whether the deadline has passed.
    fn tick(&self) -> bool {
        let operations = self.operations.get().wrapping_add(1);
        self.operations.set(operations);
        match self.started_at.get() {
            None if operations >= FIRST_CLOCK_READING => self.started_at.set(Some(Instant::now())),
            Some(started_at) if !self.expired.get() && operations.is_multiple_of(CLOCK_INTERVAL) => {
                self.update(started_at.elapsed());
            }
            _ => {}
        }
        self.expired.get()
    }

    /// Adds the time since the last reading; `now` is the time since the start.
    fn update(&self, now: Duration) {
        let used = self.used.get() + now.saturating_sub(self.last.get()).min(MAX_INTERVAL);
        self.last.set(now);
        self.used.set(used);
        let deadline = self.deadline.get();
        self.expired.set(used >= deadline || now >= deadline.saturating_mul(MAX_REAL_TIME_FACTOR));
    }
}

/// Runs a script: sets its deadline and its call context for the duration of `f`.
pub fn run_with<T>(call: Option<CallContext>, deadline: Duration, f: impl FnOnce() -> T) -> T {
    CLOCK.with(|clock| clock.start(deadline));
    let Some(context) = call else { return f() };
    CALL.set(Some(RunningCall { context, lines: 0, queries: 0 }));
    let result = f();
    CALL.set(None);
    result
}

/// Counts an operation of the running script and returns whether its deadline has passed.
pub fn tick() -> bool {
    CLOCK.with(ScriptClock::tick)
}

/// Calls `f` with the context of the running call; returns the default value if there is none.
pub fn with_call<T: Default>(f: impl FnOnce(&CallContext) -> T) -> T {
    CALL.with_borrow(|call| call.as_ref().map(|call| f(&call.context)).unwrap_or_default())
}

/// Calls `f` with the metrics and limits, the platform and the endpoint of the running call.
///
/// # Errors
/// Returns an error if the script has made too many queries in this evaluation.
pub fn query_view<T>(f: impl FnOnce(&dyn HostView, &str, Option<&str>) -> T) -> Result<Option<T>, Box<EvalAltResult>> {
    CALL.with_borrow_mut(|call| {
        let Some(call) = call else { return Ok(None) };
        call.queries += 1;
        if call.queries > MAX_QUERIES {
            let message = format!("the policy read more than {MAX_QUERIES} windows and limits in one evaluation");
            return Err(host_error(message));
        }
        Ok(call.context.view.as_ref().map(|view| f(&*view.host, &view.platform, view.endpoint.as_deref())))
    })
}

/// Writes a line of the script to the host's log.
pub fn log(text: &str) {
    CALL.with_borrow_mut(|call| {
        let Some(call) = call else { return };
        call.lines += 1;
        if let Some(policy) = call.context.policy.as_ref().filter(|_| call.lines <= MAX_LINES) {
            log_line(tracing::Level::INFO, policy, text);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_a_suspended_thread_does_not_count_against_the_deadline() {
        let ms = Duration::from_millis;
        // The times of the readings, in milliseconds, and whether a deadline of 5 ms has passed at the last one.
        let rows: [(&[u64], bool); 5] =
            [(&[1, 2, 3, 4], false), (&[1, 2, 3, 4, 5], true), (&[19], false), (&[9, 10, 19], true), (&[20], true)];
        for (readings, expected) in rows {
            let clock = ScriptClock::new();
            clock.start(ms(5));
            readings.iter().for_each(|at| clock.update(ms(*at)));
            assert_eq!(clock.expired.get(), expected, "{readings:?}");
        }
    }
}
