//! `tidegate locks`: prints and releases locks.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::UsageError;
use super::client::Client;
use super::output::{self, text};
use super::target::Target;
use crate::api::locks::HeldLock;

const EXAMPLES: &str = "\
Examples:
  tidegate locks list                    print all locks that are held
  tidegate locks release orders:taobao   release a lock that its owner does not release";
const LIST_EXAMPLES: &str = "\
Examples:
  tidegate locks list
  tidegate locks list --redis --json";
const RELEASE_EXAMPLES: &str = "\
Examples:
  tidegate locks release orders:taobao";

/// The options of `tidegate locks`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Locks {
    #[command(subcommand)]
    command: LocksCommand,
}

#[derive(Subcommand)]
enum LocksCommand {
    /// Print the locks that are held.
    ///
    /// Prints the name, the owner, how often the owner has acquired the lock without releasing it (depth), the time
    /// until the lock expires, and the fencing token.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        #[command(flatten)]
        target: Target,
    },
    /// Release a lock, regardless of its owner.
    ///
    /// The owner is not notified: its next attempt to extend the lock fails. Exits with 1 if the lock is not held.
    #[command(after_help = RELEASE_EXAMPLES)]
    Release {
        /// The lock's name.
        name: String,
        #[command(flatten)]
        target: Target,
    },
}

impl Locks {
    /// Sends the request and prints the response.
    ///
    /// # Errors
    /// Returns an error if the request is invalid, or if the server or Redis is unreachable.
    pub fn run(self) -> Result<ExitCode, UsageError> {
        match self.command {
            LocksCommand::List { target } => {
                output::send_and_print(&target, async |client: Client| client.locks().await, |locks| table(locks))
            }
            LocksCommand::Release { name, target } => {
                let release = async |client: Client| client.force_release(&name).await;
                output::send_and_print(&target, release, |_| format!("released {name}"))
            }
        }
    }
}

fn table(locks: &[HeldLock]) -> String {
    let rows = locks.iter().map(|lock| {
        let (depth, fencing_token) = (lock.depth.to_string(), lock.fencing_token.to_string());
        vec![text(&lock.name), text(&lock.owner), depth, output::millis(lock.ttl_ms), fencing_token]
    });
    output::table(&["name", "owner", "depth", "expires in", "fencing token"], rows)
}
