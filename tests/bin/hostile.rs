//! What becomes of hostile policies, and how soon: `hostile [--rounds N] [--patient] [--json] [FILE...]`, the whole of
//! `tests/hostile` unless files are named. It exits with 1 where one is not contained.
//!
//! The first row is no policy but a loop that looks at the clock for as long: what it takes beyond its time is the
//! machine's own.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate_tests::attack::{Limits, attack};
use tidegate_tests::corpus::{Expected, Hostile, files};

/// No file takes so long, whatever the machine does: a policy that is not contained must not hold up who waits for it.
const HELD: Duration = Duration::from_secs(120);

struct Options {
    rounds: usize,
    limits: Limits,
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
    let mut options = Options { rounds: 100, limits: Limits::Shipped, json: false, files: vec![] };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rounds" => {
                let rounds = arguments.next().and_then(|rounds| rounds.parse().ok());
                options.rounds = rounds.filter(|rounds| *rounds > 0).ok_or("expected a number after --rounds")?;
            }
            "--patient" => options.limits = Limits::Patient,
            "--json" => options.json = true,
            other if other.starts_with('-') => return Err(format!("no such option {other}")),
            file => options.files.push(file.into()),
        }
    }
    if options.files.is_empty() {
        options.files = files()?;
    }
    Ok(options)
}

fn run(options: &Options) -> Result<bool, String> {
    let mut contained = true;
    if options.limits == Limits::Shipped {
        say(options, &plain(options.rounds))?;
    }
    for file in &options.files {
        let hostile = Hostile::read(file)?;
        let name = hostile.name.clone();
        let (tell, told) = std::sync::mpsc::channel::<()>();
        thread::spawn(move || {
            if told.recv_timeout(HELD) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                eprintln!("error: {name} was not contained within {HELD:?}");
                std::process::exit(1);
            }
        });
        let row = row(&hostile, options)?;
        drop(tell);
        contained &= row["wrong"].as_array().is_some_and(Vec::is_empty);
        say(options, &row)?;
    }
    Ok(contained)
}

fn row(hostile: &Hostile, options: &Options) -> Result<Value, String> {
    forget_peak();
    let before = memory_mib("VmRSS:");
    let mut report = attack(hostile, options.limits, options.rounds)?;
    if options.limits == Limits::Shipped && ended_early(&hostile.expected, &report.got) {
        report.wrong.retain(|wrong| !wrong.starts_with("expected"));
    }
    Ok(json!({
        "name": hostile.name,
        "expected": format!("{:?}", hostile.expected),
        "got": report.got,
        "wrong": report.wrong,
        "deadline_ms": ms(report.deadline),
        "p50_ms": report.at(50).map(ms),
        "p99_ms": report.at(99).map(ms),
        "load_ms": ms(report.load),
        "others": report.others,
        "peak_mib": memory_mib("VmHWM:").saturating_sub(before),
    }))
}

/// With the limits as they come, the deadline may be there before the limit that is meant.
fn ended_early(expected: &Expected, got: &str) -> bool {
    matches!(expected, Expected::Fault(_)) && got == "fault deadline"
}

/// As long as a deadline, by the clock alone.
fn plain(rounds: usize) -> Value {
    let deadline = Duration::from_millis(5);
    let mut took: Vec<_> = (0..rounds)
        .map(|_| {
            let begun = Instant::now();
            while begun.elapsed() < deadline {}
            begun.elapsed()
        })
        .collect();
    took.sort();
    let at = |of_hundred: usize| took.get((took.len() * of_hundred).div_ceil(100).saturating_sub(1)).copied().map(ms);
    json!({ "name": "(the machine)", "deadline_ms": ms(deadline), "p50_ms": at(50), "p99_ms": at(99) })
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}

fn say(options: &Options, row: &Value) -> Result<(), String> {
    let mut out = std::io::stdout();
    let told = if options.json { writeln!(out, "{row}") } else { writeln!(out, "{}", line(row)) };
    told.map_err(|error| error.to_string())
}

fn line(row: &Value) -> String {
    let text = |name: &str| match &row[name] {
        Value::String(text) => text.chars().take(70).collect(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let wrong = row["wrong"].as_array().filter(|wrong| !wrong.is_empty()).map(|wrong| format!("  WRONG {wrong:?}"));
    format!(
        "{:<28} p50 {:>8}  p99 {:>8} of {:>6} ms  load {:>8} ms  {:>4} MiB  {}{}",
        text("name"),
        text("p50_ms"),
        text("p99_ms"),
        text("deadline_ms"),
        text("load_ms"),
        text("peak_mib"),
        text("got"),
        wrong.unwrap_or_default()
    )
}

/// A figure of this process's memory, in MiB.
fn memory_mib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib / 1_024)
}

/// Lets the peak of memory begin anew; where that is not allowed, it is the peak of all files so far.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
