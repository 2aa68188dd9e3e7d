//! What people see: lines while it runs, a table and one JSON line at its end.
#![allow(clippy::print_stdout, reason = "a command prints its answer")]

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::bound::{Bound, JITTER};
use super::platform::OUTAGE;
use super::story::Told;
use super::traffic::{DEMAND, Tally};

/// The lines and the bar; clones share them.
#[derive(Clone)]
pub struct Screen {
    /// Drawn where standard error is a terminal; elsewhere plain lines stand in for it.
    bar: Option<ProgressBar>,
}

impl Default for Screen {
    fn default() -> Self {
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} calls · {msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        Self { bar: std::io::stderr().is_terminal().then(|| ProgressBar::new(0).with_style(style)) }
    }
}

impl Screen {
    /// One line that stays.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
    }

    /// Says what is about to be seen.
    pub fn open(&self, gateway: &str) {
        let Bound { per_second, burst } = super::BOUND;
        let (from, to) = (OUTAGE.start.as_secs_f64(), OUTAGE.end.as_secs_f64());
        self.say(&format!("gateway on {gateway}: taobao at {per_second}/s, burst {burst}; demand {DEMAND}/s"));
        self.say(&format!("the platform is down from second {from} to {to} and shaky after"));
    }

    /// How far the traffic is.
    pub fn progress(&self, made: u64, total: u64, tally: &Tally) {
        let Tally { first, after_retry, failed, limited, .. } = tally;
        let line = format!("{first} at once, {after_retry} after retries, {failed} failed, {limited} limited");
        match &self.bar {
            Some(bar) => {
                bar.set_length(total);
                bar.set_position(made);
                bar.set_message(line);
            }
            None if made.is_multiple_of(u64::from(DEMAND) * 4) => println!("{made}/{total} calls: {line}"),
            None => {}
        }
    }

    /// Takes the bar away.
    pub fn close(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// One promise and whether it was held.
struct Promise {
    what: &'static str,
    measured: String,
    held: bool,
}

/// Everything that was measured.
pub struct Report {
    promises: Vec<Promise>,
    tally: Tally,
    told: Told,
}

impl Report {
    /// Holds what was seen against what was promised.
    pub fn new(bound: Bound, arrivals: &[u64], tally: Tally, told: Told) -> Self {
        let promises = vec![
            first_attempts(&tally),
            after_retries(&tally),
            upper_bound(bound, arrivals),
            lower_bound(bound, arrivals, &tally),
            act("high_error_rate fires and reaches both channels", &told.fired, |()| {
                format!("{} fired, {} messages delivered", told.alerts_fired, told.delivered)
            }),
            act("an edited rule is in force without a restart", &told.reload_ms, |ms| format!("{ms} ms after saving")),
            act("a broken rule is refused, the last good one stays", &told.refused, String::clone),
        ];
        Self { promises, tally, told }
    }

    /// Prints the table and the JSON line; whether every promise was held.
    pub fn print(&self) -> bool {
        let Tally { first, after_retry, failed, limited, refusal, .. } = &self.tally;
        let calls = self.tally.calls();
        println!(
            "\n{calls} calls let through: {first} succeeded at once, {after_retry} after retries, {failed} failed"
        );
        println!("{limited} refused with 429, the first with {}\n", refusal.as_deref().unwrap_or("nothing"));
        for Promise { what, measured, held } in &self.promises {
            println!("{}  {what:<51} {measured}", if *held { "held  " } else { "BROKEN" });
        }
        let told = &self.told;
        let line = json!({
            "calls": calls,
            "succeeded_first": first,
            "succeeded_after_retry": after_retry,
            "failed": failed,
            "limited": limited,
            "alerts_fired": told.alerts_fired,
            "delivered": told.delivered,
            "reload_ms": told.reload_ms.as_ref().ok(),
            "refused_reload": told.refused.is_ok(),
        });
        println!("\n{line}");
        self.promises.iter().all(|promise| promise.held)
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole as f64
}

fn first_attempts(tally: &Tally) -> Promise {
    let share = percent(tally.first, tally.calls());
    let held = (75.0..85.0).contains(&share);
    Promise { what: "about 80 % succeed at the first attempt", measured: format!("{share:.1} %"), held }
}

fn after_retries(tally: &Tally) -> Promise {
    let share = percent(tally.first + tally.after_retry, tally.calls());
    Promise { what: "over 95 % succeed after retries", measured: format!("{share:.1} %"), held: share > 95.0 }
}

fn upper_bound(bound: Bound, arrivals: &[u64]) -> Promise {
    let tightest = bound.tightest(arrivals);
    let measured = tightest.map_or("nothing arrived".to_owned(), |window| {
        let (calls, length) = (window.calls, window.length.as_secs_f64());
        let granted = bound.burst as f64 + bound.per_second as f64 * length;
        format!(
            "tightest: {calls} calls in {length:.3} s, {granted:.1} granted (± {} ms of jitter)",
            JITTER.as_millis()
        )
    });
    let held = tightest.is_some_and(|window| window.room >= 0);
    Promise { what: "every window: at most burst + rate × window", measured, held }
}

fn lower_bound(bound: Bound, arrivals: &[u64], tally: &Tally) -> Promise {
    let used = tally.saturated_us.map(|(from, to)| {
        let length = Duration::from_micros(to.saturating_sub(from)).as_secs_f64();
        (bound.used(arrivals, from, to), length)
    });
    let measured = used.map_or("the limit never refused".to_owned(), |(used, length)| {
        format!("{:.1} % over the {length:.1} s in which it refused", 100.0 * used)
    });
    let held = used.is_some_and(|(used, _)| used >= 0.98);
    Promise { what: "demand above it: at least 98 % of the rate", measured, held }
}

fn act<T>(what: &'static str, came: &Result<T, String>, show: impl FnOnce(&T) -> String) -> Promise {
    Promise { what, measured: came.as_ref().map_or_else(String::clone, show), held: came.is_ok() }
}
