//! The command line. Each subcommand has its own file.
//!
//! Exit status: 0 success; 1 a check, test, build, evaluation or replay failed; 2 usage or configuration error, or
//! server unreachable.

mod alerts;
mod bench;
mod build;
mod check;
mod client;
mod config;
mod eval;
mod kind_option;
mod limits;
mod locks;
mod metrics;
mod new;
mod output;
mod replay;
mod serve;
mod status;
mod target;
mod test;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::Value;
use tidegate::{Config, ConfigFile};
use tidegate_core::text::one_line;

const AFTER_HELP: &str = "\
Exit status:
  0  success
  1  a check, test, build, evaluation or replay failed, or the named limit, lock or platform does not exist
  2  usage or configuration error, or the server or Redis is unreachable

Environment:
  TIDEGATE_TOKEN  the token that commands send to the server (see --token-env)
  RUST_LOG        the log filter of `tidegate serve`, by default `info`

Examples:
  tidegate new retry shop --lang rhai   create a retry policy and its test cases
  tidegate test                         run the test cases of all policies
  tidegate serve                        start the server on 127.0.0.1:8700
  tidegate limits get                   print the state of every limit

Run `tidegate COMMAND --help` for the options and examples of one command.";

/// Keep calls to third-party APIs within their rate limits.
///
/// tidegate rate-limits, retries, measures and alerts on calls to APIs that you do not control. Rhai scripts and Wasm
/// components ("policies") decide which calls to retry, when to alert and which requests to admit. The server reloads a
/// policy when its file changes.
#[derive(Parser)]
#[command(name = "tidegate", version, after_help = AFTER_HELP)]
pub struct Options {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of `tidegate`.
#[derive(Subcommand)]
pub enum Command {
    /// Start the server with its HTTP API.
    ///
    /// Applies rate limits, records calls, evaluates policies and alert rules, and sends notifications. Logs go to
    /// standard error.
    ///
    /// Changes to policies and to the configuration file take effect without a restart, except changes to the sections
    /// `[server]`, `[redis]` and `[metrics]` and to the policy and cache directories.
    ///
    /// The server runs until it receives SIGINT (Ctrl-C) or SIGTERM. It then waits up to 10 seconds for open requests
    /// to finish, and up to 10 seconds more for pending metrics and notifications.
    Serve(serve::Serve),
    /// Check the configuration and all policies without starting the server.
    ///
    /// Knows only the channel kinds `log`, `dingtalk` and `email`. A program that registers kinds of its own checks its
    /// configuration with `ConfigFile::read`.
    ///
    /// Reports errors for which the server rejects a file, as `file:line:column: message`. Also reports notes about
    /// valid settings that are probably mistakes, such as a condition that is never true, a rate (0 to 1) compared with
    /// 10, or a division by zero when there are no calls.
    ///
    /// Exits with 1 if there are errors, or if there are notes and --strict is given.
    Check(check::Check),
    /// Print the effective configuration.
    Config(config::ConfigCommand),
    /// Evaluate one policy on one JSON input and print its verdict.
    ///
    /// The input is a failure for a retry policy, a snapshot of metrics for an alert condition, or a request for an
    /// admission policy. A failure may have a `body`: the response from which code, sub code and message are read as
    /// `[platforms.NAME] error` describes. An alert input may have a `windows` object: the values that `window("1h")`
    /// and other ranges return.
    ///
    /// If the failure is a response without an error, no policy is evaluated, and the output is `success: true`.
    ///
    /// Exits with 1 if the policy faults.
    Eval(eval::Eval),
    /// Create a policy and its test cases from a template.
    ///
    /// For Rhai, writes a script. For Rust and JavaScript, writes a project with its own tests; `tidegate build`
    /// compiles it. Also writes a case file for `tidegate test`; all its cases pass. Never overwrites a file.
    New(new::New),
    /// Build Wasm policies from Rust or JavaScript projects.
    ///
    /// Writes NAME.wasm to the folder retry/, alerts/ or admit/ of the policy directory. The function that the project
    /// exports determines the folder. A running server loads the new component without a restart.
    ///
    /// Rust needs the target wasm32-unknown-unknown. JavaScript needs Node.js 18 or newer and npm, which installs the
    /// compiler. If a tool is missing, the error says how to install it and the exit status is 2. Exits with 1 if a
    /// project does not compile or is not a policy.
    Build(build::Build),
    /// Run the test cases of policies.
    ///
    /// The cases of `retry/shop.rhai` or `retry/shop.wasm` are in `retry/shop.test.toml`, and those of the rules in
    /// `alerts.toml` are in `alerts.test.toml`. Policies without cases are listed as notes.
    ///
    /// If there is a configuration file, the policies of platforms that it does not have are skipped, because no call
    /// uses them. To run their cases anyway, name the policy or its case file.
    ///
    /// Exits with 1 if a case fails or cannot be run.
    Test(test::Test),
    /// Replay a decision log through the current policies and print what changed.
    ///
    /// LOG is the file that `[decisions] file` names. Each line is evaluated again by the active policy and its
    /// candidates, and compared with the recorded verdict. The candidate of `retry/jd.rhai` is
    /// `retry/jd.candidate.rhai`, unless --candidate names other files.
    ///
    /// The comparison covers action, class, delay, cost, labels, status, state and kind of fault, but not reasons.
    /// Differences with the same recorded and current action and class are grouped; each group shows its first line.
    ///
    /// Policies read windows and limits from the log line. If a policy now reads a window or limit that the line does
    /// not contain, an alert condition gets the values of its own window, and everything else is empty. A note says how
    /// many lines are affected. Values that are masked in the log stay masked.
    ///
    /// Exits with 0 if all verdicts match, 1 if at least one differs, and 2 if a line, a policy or the usage is
    /// invalid.
    Replay(replay::Replay),
    /// Print, change or reset rate limits.
    Limits(limits::Limits),
    /// Print attempt counts, rates and latencies of a platform.
    ///
    /// Prints the number of attempts that were sent, of those that succeeded and failed, and of those that a limit
    /// refused. Also prints the attempts per second, and the 50th, 95th and 99th percentile of their duration.
    Metrics(metrics::Metrics),
    /// Print active alerts and past notifications.
    Alerts(alerts::Alerts),
    /// Print or release locks.
    Locks(locks::Locks),
    /// Print the health of the Redis connection.
    ///
    /// Prints the state of the connection as a whole and of each Redis server, and the tidegate processes that share
    /// it, with the hashes of their policies and alert rules. Exits with 2 if no Redis server can be used.
    Status(status::Status),
    /// Measure the performance of limits, locks, metrics and policies on this machine.
    ///
    /// `limiter`, `lock` and `metrics` start a temporary redis-server and also run `redis-benchmark` on it for
    /// comparison. They need redis-server 7 or newer, or Valkey. `policy`, `reload` and `start` need no Redis.
    Bench(bench::Bench),
}

/// A usage or configuration error. Its exit status is 2.
#[derive(Debug)]
pub struct UsageError(pub String);

impl UsageError {
    /// Prints the error on standard error and returns the exit status.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        print_error(&self.0);
        ExitCode::from(2)
    }
}

/// The configuration file that is read by default, if it exists.
const DEFAULT_FILE: &str = "tidegate.toml";

/// Returns the configuration file to read: the given one, or `tidegate.toml` if it exists.
///
/// The file may belong to another program, which has channel kinds of its own. Therefore the command must not open
/// channels.
fn config_file(path: Option<PathBuf>) -> Option<ConfigFile> {
    Some(config_file_with_channels(path)?.channel_kinds(tidegate_notify::channel_kinds().accept_unknown()))
}

/// Returns the configuration file like [`config_file`], but channels of unknown kinds are mistakes.
fn config_file_with_channels(path: Option<PathBuf>) -> Option<ConfigFile> {
    match path {
        Some(path) => Some(ConfigFile::new(path).channel_kinds(tidegate_notify::channel_kinds())),
        None => Path::new(DEFAULT_FILE).exists().then(default_file),
    }
}

/// Returns the file that is read by default, which may not exist. Channels of unknown kinds are mistakes.
fn default_file() -> ConfigFile {
    ConfigFile::new(DEFAULT_FILE).channel_kinds(tidegate_notify::channel_kinds())
}

/// Reads the configuration. Without a file, returns the shipped configuration.
fn configuration(file: Option<&ConfigFile>) -> Result<Config, UsageError> {
    match file {
        Some(file) => file.read().map_err(|error| UsageError(error.to_string())),
        None => Ok(tidegate_notify::shipped_config()),
    }
}

/// Prints a line on standard output. Ignores write errors, such as a closed pipe.
fn print(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// The maximum length of an error on standard error, in characters. It can repeat a part of the input.
const MAX_LINE_LENGTH: usize = 4_000;

/// Prints an error on standard error; each line of the message is one error. Control characters are escaped.
fn print_error(message: &str) {
    for line in message.lines() {
        let _ = writeln!(std::io::stderr(), "error: {}", one_line(line, MAX_LINE_LENGTH));
    }
}

/// Prints `value` as JSON if `json` is set, or else `text`.
fn print_result(json: bool, value: &Value, text: &str) {
    if json { print(&value.to_string()) } else { print(text) }
}
