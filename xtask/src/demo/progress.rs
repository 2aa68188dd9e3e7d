//! The output while the demo runs: a progress bar, or lines.
#![allow(clippy::print_stdout, reason = "the output of a command")]

use std::io::IsTerminal;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use super::call_counts::CallCounts;
use super::load::{PDD_CALLS_PER_SECOND, TAOBAO_CALLS_PER_SECOND, TAOBAO_LIMIT};
use super::platform::OUTAGE;
use super::rate_bound::RateBound;

/// The output while the demo runs. Clones share the progress bar.
#[derive(Clone)]
pub struct ProgressOutput {
    /// The progress bar, if standard error is a terminal. Otherwise the progress is printed as lines.
    bar: Option<ProgressBar>,
    started_at: Instant,
}

impl Default for ProgressOutput {
    fn default() -> Self {
        let style = ProgressStyle::with_template("{bar:24} {pos}/{len} calls to taobao: {wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(0).with_style(style));
        Self { bar, started_at: Instant::now() }
    }
}

impl ProgressOutput {
    /// Prints a line that starts with the elapsed time.
    pub fn print_line(&self, line: &str) {
        let line = format!("{:5.1} s  {line}", self.started_at.elapsed().as_secs_f64());
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
    }

    /// Resets the elapsed time and prints what the demo does.
    pub fn start(&mut self, gateway: &str) {
        let RateBound { per_second, burst } = TAOBAO_LIMIT;
        let (from, to) = (OUTAGE.start.as_secs_f64(), OUTAGE.end.as_secs_f64());
        self.started_at = Instant::now();
        self.print_line(&format!("gateway listens on {gateway}; the limit of taobao is {per_second}/s, burst {burst}"));
        self.print_line(&format!(
            "clients make {TAOBAO_CALLS_PER_SECOND} calls/s to taobao and {PDD_CALLS_PER_SECOND} calls/s to pdd"
        ));
        self.print_line(&format!(
            "both mock platforms have an outage from second {from} to {to} and are unstable afterwards"
        ));
    }

    /// Shows how many of the calls have been made, and their outcomes.
    pub fn progress(&self, made: u64, total: u64, counts: &CallCounts) {
        let CallCounts { first_attempt, after_retry, failed, limited, .. } = counts;
        let line = format!(
            "{first_attempt} ok at first attempt, {after_retry} ok after retries, {failed} failed, {limited} limited"
        );
        match &self.bar {
            Some(bar) => {
                bar.set_length(total);
                bar.set_position(made);
                bar.set_message(line);
            }
            None if made.is_multiple_of(u64::from(TAOBAO_CALLS_PER_SECOND) * 4) => {
                self.print_line(&format!("{made}/{total} calls to taobao: {line}"));
            }
            None => {}
        }
    }

    /// Removes the progress bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
