//! What belongs to the script that runs on this thread: its deadline, and what its functions answer by.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rhai::{EvalAltResult, Position};
use tidegate_core::View;
use tidegate_core::config::Settings;

use crate::say::say;

/// The clock is read once in this many operations: often enough for a deadline of a millisecond, and cheap.
const CLOCK_EVERY: u32 = 16;
/// The clock is read first here: a condition such as `error_rate > 0.1` is over by then, and reads none.
const CLOCK_FIRST: u32 = 4;
/// So many operations take no longer than this. What passed beyond it between two readings, the thread stood still.
const LONGEST: Duration = Duration::from_millis(2);
/// However long the thread stood still: a script ends after so many deadlines of real time.
const PATIENCE: u32 = 4;
/// The lines that one verdict may log; what is beyond is dropped.
const MAX_LINES: u32 = 16;
/// The windows and limits that one verdict may ask for.
const MAX_QUESTIONS: u32 = 64;

/// What the functions of the running script answer by; a script that calls none of them is run without.
#[derive(Default)]
pub struct Call {
    /// The file, for its log.
    pub policy: Arc<str>,
    /// The chosen headers.
    pub headers: Vec<(String, String)>,
    /// The labels of a request.
    pub labels: Vec<(String, String)>,
    /// Metrics and limits, with the platform and the endpoint that windows are of.
    pub sight: Option<(Arc<dyn View>, String, Option<String>)>,
    /// What the policy is set to.
    pub settings: Arc<Settings>,
    /// How much was logged.
    pub lines: u32,
    /// How much was asked.
    pub questions: u32,
}

thread_local! {
    static CLOCK: Clock = const { Clock::new() };
    static CALL: RefCell<Option<Call>> = const { RefCell::new(None) };
}

/// How long the running script has run.
struct Clock {
    deadline: Cell<Duration>,
    since: Cell<Option<Instant>>,
    /// When it was read last, since then.
    last: Cell<Duration>,
    /// What was used of the deadline.
    used: Cell<Duration>,
    /// Counted here, since the engine counts the operations of a function that a list calls apart and forgets them.
    operations: Cell<u32>,
    /// Whether the deadline was found to have passed. It stays so until the call ends: the library's printing of lists
    /// swallows the error that ends a script, and a clock read in there each time would never end it.
    over: Cell<bool>,
}

impl Clock {
    const fn new() -> Self {
        Self {
            deadline: Cell::new(Duration::MAX),
            since: Cell::new(None),
            last: Cell::new(Duration::ZERO),
            used: Cell::new(Duration::ZERO),
            operations: Cell::new(0),
            over: Cell::new(false),
        }
    }

    fn begin(&self, deadline: Duration) {
        self.deadline.set(deadline);
        self.since.set(None);
        self.last.set(Duration::ZERO);
        self.used.set(Duration::ZERO);
        self.operations.set(0);
        self.over.set(false);
    }

    fn is_over(&self) -> bool {
        let operations = self.operations.get().wrapping_add(1);
        self.operations.set(operations);
        match self.since.get() {
            None if operations >= CLOCK_FIRST => self.since.set(Some(Instant::now())),
            Some(since) if !self.over.get() && operations.is_multiple_of(CLOCK_EVERY) => {
                self.read(since.elapsed());
            }
            _ => {}
        }
        self.over.get()
    }

    fn read(&self, now: Duration) {
        let used = self.used.get() + now.saturating_sub(self.last.get()).min(LONGEST);
        self.last.set(now);
        self.used.set(used);
        let deadline = self.deadline.get();
        self.over.set(used >= deadline || now >= deadline.saturating_mul(PATIENCE));
    }
}

/// Runs `f` with the deadline in force, and with `call` at hand where its functions need one.
pub fn during<T>(call: Option<Call>, deadline: Duration, f: impl FnOnce() -> T) -> T {
    CLOCK.with(|clock| clock.begin(deadline));
    let Some(call) = call else { return f() };
    CALL.set(Some(call));
    let answer = f();
    CALL.set(None);
    answer
}

/// Whether the script on this thread has used up its time.
pub fn is_over() -> bool {
    CLOCK.with(Clock::is_over)
}

/// What belongs to the running call.
pub fn with_call<T: Default>(f: impl FnOnce(&mut Call) -> T) -> T {
    CALL.with_borrow_mut(|call| call.as_mut().map(f).unwrap_or_default())
}

/// Asks for metrics or limits.
///
/// # Errors
/// Where it is asked too often for one verdict.
pub fn look<T>(f: impl FnOnce(&dyn View, &str, Option<&str>) -> T) -> Result<Option<T>, Box<EvalAltResult>> {
    with_call(|call| {
        call.questions += 1;
        if call.questions > MAX_QUESTIONS {
            return Some(Err(format!("asked the host more than {MAX_QUESTIONS} times for one verdict")));
        }
        let (view, platform, endpoint) = call.sight.as_ref()?;
        Some(Ok(f(&**view, platform, endpoint.as_deref())))
    })
    .transpose()
    .map_err(|message| Box::new(EvalAltResult::ErrorRuntime(message.into(), Position::NONE)))
}

/// Writes a line of the script into the host's log.
pub fn log(text: &str) {
    with_call(|call| {
        call.lines += 1;
        if call.lines <= MAX_LINES {
            say(tracing::Level::INFO, &call.policy, text);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_charged_for_what_it_ran_and_not_for_what_its_thread_stood_still() {
        let ms = Duration::from_millis;
        // When the clock was read, in milliseconds, and whether a deadline of 5 ms has passed then.
        let rows: [(&[u64], bool); 5] =
            [(&[1, 2, 3, 4], false), (&[1, 2, 3, 4, 5], true), (&[19], false), (&[9, 10, 19], true), (&[20], true)];
        for (readings, expected) in rows {
            let clock = Clock::new();
            clock.begin(ms(5));
            readings.iter().for_each(|at| clock.read(ms(*at)));
            assert_eq!(clock.over.get(), expected, "{readings:?}");
        }
    }
}
