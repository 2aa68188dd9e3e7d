//! `tidegate limits`: prints, changes and resets rate limits.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::UsageError;
use super::output::{self, number, text};
use super::target::{ApiRequest, Target};

const EXAMPLES: &str = "\
Examples:
  tidegate limits get                  print the state of every limit
  tidegate limits set taobao 40/s 80   allow 40 calls per second and bursts of 80
  tidegate limits reset taobao         refill the bucket of taobao";
const GET_EXAMPLES: &str = "\
Examples:
  tidegate limits get                  print the state of every limit
  tidegate limits get taobao --json    print the state of one limit as JSON
  tidegate limits get --redis          read from Redis instead of a server";
const SET_EXAMPLES: &str = "\
Examples:
  tidegate limits set taobao 40/s 80
  tidegate limits set walmart 50/m 10 --server http://tidegate.internal:8700";
const RESET_EXAMPLES: &str = "\
Examples:
  tidegate limits reset taobao";

/// The options of `tidegate limits`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Limits {
    #[command(subcommand)]
    command: LimitsCommand,
}

#[derive(Subcommand)]
enum LimitsCommand {
    /// Print the state of one limit, or of all limits.
    ///
    /// Prints the rate, the burst, the number of tokens that are available now, and the time until the bucket is full.
    #[command(after_help = GET_EXAMPLES)]
    Get {
        /// The name of the limit, such as a platform [default: all limits].
        limit: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Change the rate and burst of a limit.
    ///
    /// The change applies at once to all processes that share the limit. The bucket keeps its current number of tokens,
    /// up to the new burst.
    ///
    /// The change lasts until the next edit of the limit in the configuration file. With Redis, it survives restarts.
    /// Without Redis, a restart of the server ends it.
    #[command(after_help = SET_EXAMPLES)]
    Set {
        /// The name of the limit, such as a platform.
        limit: String,
        /// The number of tokens per period, such as 40/s, 300/m or 10000/60s.
        rate: String,
        /// The maximum number of tokens that can be spent at once.
        burst: u64,
        #[command(flatten)]
        target: Target,
    },
    /// Refill the bucket of a limit to its full burst.
    #[command(after_help = RESET_EXAMPLES)]
    Reset {
        /// The name of the limit, such as a platform.
        limit: String,
        #[command(flatten)]
        target: Target,
    },
}

impl Limits {
    /// Sends the request and prints the response.
    ///
    /// # Errors
    /// Returns an error if the request is invalid, or if the server or Redis is unreachable.
    pub fn run(self) -> Result<ExitCode, UsageError> {
        match self.command {
            LimitsCommand::Get { limit: None, target } => {
                output::send_and_print(&target, ApiRequest::Limits, |limits| {
                    let limits = limits.as_object().into_iter().flatten();
                    table(limits.map(|(name, state)| (name.as_str(), state)))
                })
            }
            LimitsCommand::Get { limit: Some(limit), target } => {
                print_limit(&target, ApiRequest::Limit(limit.clone()), &limit)
            }
            LimitsCommand::Set { limit, rate, burst, target } => {
                print_limit(&target, ApiRequest::SetLimit { limit: limit.clone(), rate, burst }, &limit)
            }
            LimitsCommand::Reset { limit, target } => {
                print_limit(&target, ApiRequest::ResetLimit(limit.clone()), &limit)
            }
        }
    }
}

/// Sends a request about one limit and prints the limit's state.
fn print_limit(target: &Target, request: ApiRequest, name: &str) -> Result<ExitCode, UsageError> {
    output::send_and_print(target, request, |state| table([(name, state)]))
}

fn table<'a>(limits: impl IntoIterator<Item = (&'a str, &'a Value)>) -> String {
    let rows = limits.into_iter().map(|(name, state)| {
        let full_in = output::millis(state["full_in_ms"].as_u64().unwrap_or(0));
        vec![name.to_owned(), text(&state["rate"]), number(&state["burst"]), number(&state["available"]), full_in]
    });
    output::table(&["limit", "rate", "burst", "available", "full in"], rows)
}
