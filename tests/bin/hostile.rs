//! Attacks tidegate with hostile policies and measures how fast each of them is contained:
//! `hostile [--rounds N] [--expected-limit-only] [--json] [FILE...]`. Without files, it uses all of `tests/hostile`.
//!
//! `--expected-limit-only` relaxes every limit except the one that a file expects, so that the outcome is the same on a
//! busy machine. The exit status is 1 if a policy is not contained.
//!
//! The first row of the output is not a policy. It is a loop that reads the clock for the length of a deadline. The
//! time beyond that deadline is the noise of the machine.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate_tests::attack::{LimitProfile, attack, percentile};
use tidegate_tests::corpus::{ExpectedOutcome, HostilePolicy, files};

/// The maximum time for one file. A policy that is not contained must not block the caller of this program forever.
const FILE_TIMEOUT: Duration = Duration::from_secs(120);

struct Options {
    rounds: usize,
    profile: LimitProfile,
    json: bool,
    files: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match options().and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn options() -> Result<Options, String> {
    let mut options = Options { rounds: 100, profile: LimitProfile::Default, json: false, files: vec![] };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rounds" => {
                let rounds = arguments.next().and_then(|rounds| rounds.parse().ok());
                options.rounds =
                    rounds.filter(|rounds| *rounds > 0).ok_or("expected a number of at least 1 after --rounds")?;
            }
            "--expected-limit-only" => options.profile = LimitProfile::ExpectedOnly,
            "--json" => options.json = true,
            other if other.starts_with('-') => return Err(format!("unknown option {other}")),
            file => options.files.push(file.into()),
        }
    }
    if options.files.is_empty() {
        options.files = files()?;
    }
    Ok(options)
}

fn run(options: &Options) -> Result<bool, String> {
    let mut all_contained = true;
    if options.profile == LimitProfile::Default {
        print_row(options, &clock_loop_row(options.rounds))?;
    }
    for file in &options.files {
        let hostile = HostilePolicy::read(file)?;
        let name = hostile.name.clone();
        let (finished, finish) = std::sync::mpsc::channel::<()>();
        thread::spawn(move || {
            if finish.recv_timeout(FILE_TIMEOUT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                eprintln!("error: {name} was not contained within {FILE_TIMEOUT:?}");
                std::process::exit(1);
            }
        });
        let row = attack_row(&hostile, options)?;
        drop(finished);
        all_contained &= row["violations"].as_array().is_some_and(Vec::is_empty);
        print_row(options, &row)?;
    }
    Ok(all_contained)
}

/// Attacks with one policy and returns the result as a row of the output.
fn attack_row(hostile: &HostilePolicy, options: &Options) -> Result<Value, String> {
    reset_peak_memory();
    let before = memory_mib("VmRSS:");
    let mut report = attack(hostile, options.profile, options.rounds)?;
    if options.profile == LimitProfile::Default && reached_deadline_first(&hostile.expected, &report.outcome) {
        let outcome_mismatch = format!("expected {:?}", hostile.expected);
        report.violations.retain(|violation| *violation != outcome_mismatch);
    }
    Ok(json!({
        "name": hostile.name,
        "expected": format!("{:?}", hostile.expected),
        "outcome": report.outcome,
        "violations": report.violations,
        "deadline_ms": ms(report.deadline),
        "p50_ms": report.percentile(50).map(ms),
        "p99_ms": report.percentile(99).map(ms),
        "load_ms": ms(report.load_time),
        "valid_calls": report.valid_calls,
        "peak_mib": memory_mib("VmHWM:").saturating_sub(before),
    }))
}

/// Whether the policy reached its deadline before the expected limit, which the default limits allow.
fn reached_deadline_first(expected: &ExpectedOutcome, outcome: &str) -> bool {
    matches!(expected, ExpectedOutcome::Fault(_)) && outcome == "fault deadline"
}

/// Returns the row of a loop that reads the clock until a deadline.
fn clock_loop_row(rounds: usize) -> Value {
    let deadline = Duration::from_millis(5);
    let durations: Vec<_> = (0..rounds)
        .map(|_| {
            let started_at = Instant::now();
            while started_at.elapsed() < deadline {}
            started_at.elapsed()
        })
        .collect();
    let percentile_ms = |percent| percentile(&durations, percent).map(ms);
    json!({
        "name": "(clock loop)",
        "deadline_ms": ms(deadline),
        "p50_ms": percentile_ms(50),
        "p99_ms": percentile_ms(99),
    })
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}

fn print_row(options: &Options, row: &Value) -> Result<(), String> {
    let mut out = std::io::stdout();
    let result = if options.json { writeln!(out, "{row}") } else { writeln!(out, "{}", format_row(row)) };
    result.map_err(|error| error.to_string())
}

fn format_row(row: &Value) -> String {
    let text = |name: &str| match &row[name] {
        Value::String(text) => text.chars().take(70).collect(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let violations = row["violations"].as_array().filter(|violations| !violations.is_empty());
    let violations = violations.map(|violations| format!("  NOT CONTAINED {violations:?}"));
    format!(
        "{:<36} p50 {:>8}  p99 {:>8} of {:>6} ms  load {:>8} ms  {:>4} MiB  {}{}",
        text("name"),
        text("p50_ms"),
        text("p99_ms"),
        text("deadline_ms"),
        text("load_ms"),
        text("peak_mib"),
        text("outcome"),
        violations.unwrap_or_default()
    )
}

/// Returns a memory value of this process from `/proc/self/status`, in MiB.
fn memory_mib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib / 1_024)
}

/// Resets the peak of the memory use. If the system does not allow that, the peak covers all files so far.
fn reset_peak_memory() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
