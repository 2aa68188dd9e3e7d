//! The command line: a file a command.
//!
//! Exit codes: 0 fine, 1 the answer is no, 2 wrong usage or configuration.

mod alerts;
mod bench;
mod build;
mod check;
mod eval;
mod limits;
mod locks;
mod metrics;
mod new;
mod place;
mod replay;
mod serve;
mod show;
mod status;
mod test;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::Value;
use tidegate::Config;

/// Keeps calls to other people's APIs inside their limits, retries what is worth retrying, measures every call and
/// raises alerts.
#[derive(Parser)]
#[command(name = "tidegate", version)]
pub struct Options {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Run a host with an HTTP API.
    Serve(serve::Serve),
    /// Say whether configuration and policies would be accepted, and note what is likely a mistake.
    ///
    /// A note is no refusal: a condition that no sample fulfils, a rate compared with 10, a division by 0 where there are no
    /// calls. It says `file:line:column` and how to mend it.
    Check(check::Check),
    /// Ask one policy for its verdict on one input.
    Eval(eval::Eval),
    /// Begin a policy, with tests that pass.
    New(new::New),
    /// Build a Wasm policy from its Rust or JavaScript source.
    Build(build::Build),
    /// Run policies against the cases beside them.
    Test(test::Test),
    /// Read a decision log again through the policies of today, and show where they decide otherwise.
    ///
    /// LOG is what `[decisions] file` names. Each line is asked of the policy in force, of its candidate
    /// (`retry/jd.candidate.rhai` beside it) or of those named with --candidate; what was recorded is compared with what
    /// they say: action, class, wait, cost, labels, status, state or fault, but no reasons. Differences that lead from one
    /// action and class to another are one group, shown by its first.
    ///
    /// Windows and limits that a policy looked at stand in the line. Where it looks at others now, windows of a condition
    /// are as the rule's own and everything else is empty; so many lines are told. What was masked in the log stays masked.
    ///
    /// Exit code 0: all decide as was recorded; 1: one decides otherwise; 2: a line, a policy or the usage is wrong.
    Replay(replay::Replay),
    /// Look at limits, change them, fill them.
    Limits(limits::Limits),
    /// Show what became of the calls.
    Metrics(metrics::Metrics),
    /// Show what holds now, and what people were told.
    Alerts(alerts::Alerts),
    /// Show who holds which lock, and take one away.
    Locks(locks::Locks),
    /// Show how the way to Redis is.
    Status(status::Status),
    /// Measure what the services cost on this machine.
    Bench(bench::Bench),
}

/// Wrong usage or configuration: told on the error stream, exit code 2.
#[derive(Debug)]
pub struct Usage(pub String);

impl Usage {
    /// Tells it and gives the exit code.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        complain(&self.0);
        ExitCode::from(2)
    }
}

/// The file that is read where none is named, if it is there.
const DEFAULT_FILE: &str = "tidegate.toml";

/// The file to read: the one that was named, else `tidegate.toml` where there is one.
fn config_file(named: Option<PathBuf>) -> Option<PathBuf> {
    named.or_else(|| Path::new(DEFAULT_FILE).exists().then(|| PathBuf::from(DEFAULT_FILE)))
}

/// Reads the configuration; without a file the shipped defaults hold. A channel that cannot be made is a mistake too.
fn configuration(file: Option<&Path>) -> Result<Config, Usage> {
    let Some(file) = file else { return Ok(Config::default()) };
    let config = tidegate::read_config(file).map_err(Usage)?;
    crate::notify::from_config(&config.channels).map_err(|error| Usage(format!("{}: {error}", file.display())))?;
    Ok(config)
}

/// Prints a line on standard output; a reader that went away is no error.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints a line on standard error.
fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints JSON for programs or text for people.
fn answer(json: bool, value: &Value, text: &str) {
    if json { say(&value.to_string()) } else { say(text) }
}
