//! `tidegate limits`: prints, changes and resets rate limits.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::UsageError;
use super::client::{Client, CommandError};
use super::output::{self, text};
use super::target::Target;
use crate::api::limits::{Limit, UpdateLimitRequest};

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
                output::send_and_print(&target, async |client: Client| client.limits().await, |limits| table(limits))
            }
            LimitsCommand::Get { limit: Some(limit), target } => {
                print_limit(&target, &limit, async |client| client.limit(&limit).await)
            }
            LimitsCommand::Set { limit, rate, burst, target } => {
                let request = UpdateLimitRequest { rate, burst };
                print_limit(&target, &limit, async |client| client.update_limit(&limit, request).await)
            }
            LimitsCommand::Reset { limit, target } => {
                print_limit(&target, &limit, async |client| client.reset_limit(&limit).await)
            }
        }
    }
}

/// Sends a request about one limit and prints the limit's state.
fn print_limit(
    target: &Target,
    name: &str,
    request: impl AsyncFnOnce(Client) -> Result<Limit, CommandError>,
) -> Result<ExitCode, UsageError> {
    let name = name.to_owned();
    output::send_and_print(target, request, |limit| table([(&name, limit)]))
}

fn table<'a>(limits: impl IntoIterator<Item = (&'a String, &'a Limit)>) -> String {
    let rows = limits.into_iter().map(|(name, limit)| {
        let (burst, available) = (limit.burst.to_string(), limit.available.to_string());
        vec![text(name), text(&limit.rate), burst, available, output::millis(limit.full_in_ms)]
    });
    output::table(&["limit", "rate", "burst", "available", "full in"], rows)
}
