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
        /// The limit's name [default: all limits].
        platform: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Change the rate and burst of a limit.
    ///
    /// The change applies at once to all processes that share the limit. The bucket keeps its current number of tokens.
    #[command(after_help = SET_EXAMPLES)]
    Set {
        /// The limit's name.
        platform: String,
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
        /// The limit's name.
        platform: String,
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
            LimitsCommand::Get { platform: None, target } => {
                output::send_and_print(&target, ApiRequest::Limits, |limits| {
                    let limits = limits.as_object().into_iter().flatten();
                    table(limits.map(|(platform, limit)| (platform.as_str(), limit)))
                })
            }
            LimitsCommand::Get { platform: Some(platform), target } => {
                print_limit(&target, ApiRequest::Limit(platform.clone()), &platform)
            }
            LimitsCommand::Set { platform, rate, burst, target } => {
                print_limit(&target, ApiRequest::SetLimit { platform: platform.clone(), rate, burst }, &platform)
            }
            LimitsCommand::Reset { platform, target } => {
                print_limit(&target, ApiRequest::ResetLimit(platform.clone()), &platform)
            }
        }
    }
}

/// Sends a request about one limit and prints the limit's state.
fn print_limit(target: &Target, request: ApiRequest, platform: &str) -> Result<ExitCode, UsageError> {
    output::send_and_print(target, request, |limit| table([(platform, limit)]))
}

fn table<'a>(limits: impl IntoIterator<Item = (&'a str, &'a Value)>) -> String {
    let rows = limits.into_iter().map(|(platform, limit)| {
        let full_in = output::millis(limit["full_in_ms"].as_u64().unwrap_or(0));
        vec![platform.to_owned(), text(&limit["rate"]), number(&limit["burst"]), number(&limit["available"]), full_in]
    });
    output::table(&["platform", "rate", "burst", "available", "full in"], rows)
}
