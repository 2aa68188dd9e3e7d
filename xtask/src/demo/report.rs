//! What people see: lines while it runs, a table and one JSON line at its end.
#![allow(clippy::print_stdout, reason = "a command prints its answer")]

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::bound::{Bound, JITTER};
use super::platform::OUTAGE;
use super::story::{Figures, Told};
use super::traffic::Tally;
use super::{PDD_DEMAND, TAOBAO_DEMAND};

/// The lines and the bar; clones share them.
#[derive(Clone)]
pub struct Screen {
    /// Drawn where standard error is a terminal; elsewhere plain lines stand in for it.
    bar: Option<ProgressBar>,
    started: Instant,
}

impl Default for Screen {
    fn default() -> Self {
        let style = ProgressStyle::with_template("{bar:24} {pos}/{len} calls: {wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(0).with_style(style));
        Self { bar, started: Instant::now() }
    }
}

impl Screen {
    /// One line that stays, with the second in which it was said.
    pub fn say(&self, line: &str) {
        let line = format!("{:5.1} s  {line}", self.started.elapsed().as_secs_f64());
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
    }

    /// Begins the count of seconds and says what is about to be seen.
    pub fn open(&mut self, gateway: &str) {
        let Bound { per_second, burst } = super::BOUND;
        let (from, to) = (OUTAGE.start.as_secs_f64(), OUTAGE.end.as_secs_f64());
        self.started = Instant::now();
        self.say(&format!("gateway on {gateway}: taobao at {per_second}/s, burst {burst}, and pdd"));
        self.say(&format!("callers want {TAOBAO_DEMAND}/s of taobao and {PDD_DEMAND}/s of pdd"));
        self.say(&format!("both platforms are down from second {from} to {to} and shaky after"));
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
            None if made.is_multiple_of(u64::from(TAOBAO_DEMAND) * 4) => {
                self.say(&format!("{made}/{total} calls: {line}"))
            }
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

/// The line for programs.
#[derive(Serialize)]
struct Line {
    /// Let through by the limit: the three that follow.
    calls: u64,
    succeeded_first: u64,
    succeeded_after_retry: u64,
    failed: u64,
    limited: u64,
    alerts_fired: usize,
    delivered: usize,
    reload_ms: Option<u64>,
    refused_reload: bool,
}

/// Everything that was measured.
pub struct Report {
    promises: Vec<Promise>,
    tallies: [Tally; 2],
    line: Line,
    verdicts: Vec<(String, u64)>,
}

impl Report {
    /// Holds what was seen of taobao and pdd against what was promised; `arrivals` are taobao's.
    pub fn new(bound: Bound, arrivals: &[u64], tallies: [Tally; 2], told: Told, figures: Figures) -> Self {
        let Figures { alerts_fired, delivered, verdicts } = figures;
        let sum = |count: fn(&Tally) -> u64| tallies.iter().map(count).sum();
        let line = Line {
            calls: sum(Tally::calls),
            succeeded_first: sum(|tally| tally.first),
            succeeded_after_retry: sum(|tally| tally.after_retry),
            failed: sum(|tally| tally.failed),
            limited: sum(|tally| tally.limited),
            alerts_fired,
            delivered,
            reload_ms: told.reload_ms.as_ref().ok().copied(),
            refused_reload: told.refused.is_ok(),
        };
        let promises = vec![
            first_attempts(&line),
            after_retries(&line),
            upper_bound(bound, arrivals),
            lower_bound(bound, arrivals, &tallies[0]),
            act("high_error_rate fires and reaches both channels", &told.fired, |()| {
                format!("{alerts_fired} fired, {delivered} messages delivered")
            }),
            act("an edited rule is in force without a restart", &told.reload_ms, |ms| format!("{ms} ms after saving")),
            act("a broken rule is refused, the last good one stays", &told.refused, String::clone),
        ];
        Self { promises, tallies, line, verdicts }
    }

    /// Prints the table and the JSON line; whether every promise was held.
    pub fn print(&self) -> Result<bool, String> {
        println!("\n{:8} {:>6} {:>9} {:>14} {:>7} {:>8}", "", "calls", "at once", "after retries", "failed", "limited");
        for (name, tally) in ["taobao", "pdd"].iter().zip(&self.tallies) {
            let Tally { first, after_retry, failed, limited, .. } = tally;
            println!("{name:8} {:>6} {first:>9} {after_retry:>14} {failed:>7} {limited:>8}", tally.calls());
        }
        let verdicts: Vec<_> = self.verdicts.iter().map(|(path, asked)| format!("{path} {asked}")).collect();
        println!("failures judged by {}", verdicts.join(", "));
        println!("a refusal says {}\n", self.tallies[0].refusal.as_deref().unwrap_or("nothing: there was none"));
        for Promise { what, measured, held } in &self.promises {
            println!("{}  {what:<51} {measured}", if *held { "held  " } else { "BROKEN" });
        }
        println!("\n{}", serde_json::to_string(&self.line).map_err(|error| error.to_string())?);
        Ok(self.promises.iter().all(|promise| promise.held))
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole as f64
}

fn first_attempts(line: &Line) -> Promise {
    let share = percent(line.succeeded_first, line.calls);
    let held = (75.0..85.0).contains(&share);
    Promise { what: "about 80 % succeed at the first attempt", measured: format!("{share:.1} %"), held }
}

fn after_retries(line: &Line) -> Promise {
    let share = percent(line.succeeded_first + line.succeeded_after_retry, line.calls);
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

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Bound = Bound { per_second: 10, burst: 5 };

    /// A run of 1,000 calls, of which so many succeeded at once and so many in all, and one call arrived every
    /// `gap_us` in the 10 s in which the limit refused.
    fn report(first: u64, in_all: u64, gap_us: u64, refused: Result<String, String>) -> Vec<&'static str> {
        let saturated_us = Some((0, 10_000_000));
        let taobao =
            Tally { first, after_retry: in_all - first, failed: 1_000 - in_all, saturated_us, ..Tally::default() };
        let arrivals: Vec<u64> = (0..200).map(|n| n * gap_us).collect();
        let told = Told { fired: Ok(()), reload_ms: Ok(100), refused };
        let figures = Figures { alerts_fired: 1, delivered: 2, verdicts: Vec::new() };
        let report = Report::new(BOUND, &arrivals, [taobao, Tally::default()], told, figures);
        report.promises.iter().filter(|promise| !promise.held).map(|promise| promise.what).collect()
    }

    #[test]
    fn each_promise_is_broken_by_what_breaks_it_and_by_nothing_else() {
        let good = || Ok("alerts.toml:1:1".to_owned());
        let rows = [
            (report(800, 951, 100_000, good()), ""),
            (report(749, 951, 100_000, good()), "first attempt"),
            (report(850, 951, 100_000, good()), "first attempt"),
            (report(800, 950, 100_000, good()), "after retries"),
            (report(800, 951, 95_000, good()), "every window"),
            (report(800, 951, 103_000, good()), ""),
            (report(800, 951, 104_000, good()), "at least 98 %"),
            (report(800, 951, 100_000, Err("in vain".to_owned())), "last good one stays"),
        ];
        for (broken, expected) in rows {
            let as_expected = if expected.is_empty() { broken.is_empty() } else { broken.len() == 1 };
            assert!(as_expected && broken.iter().all(|what| what.contains(expected)), "{expected}: {broken:?}");
        }
    }
}
