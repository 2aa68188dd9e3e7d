//! `tidegate locks`: who holds what, and taking it away.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::Usage;
use super::place::{Ask, Where};
use super::show::{self, number, text};

/// Show who holds which lock, and take one away.
#[derive(Args)]
pub struct Locks {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The locks that are held now.
    List {
        #[command(flatten)]
        place: Where,
    },
    /// Take a lock away from whoever holds it; its holder learns of it at its next extension.
    Release {
        /// The lock's name.
        name: String,
        #[command(flatten)]
        place: Where,
    },
}

impl Locks {
    /// Asks and prints.
    ///
    /// # Errors
    /// Wrong usage, or nobody who answers.
    pub fn run(self) -> Result<ExitCode, Usage> {
        match self.what {
            What::List { place } => show::print(&place, Ask::Locks, table),
            What::Release { name, place } => {
                let told = format!("{name} is free");
                show::print(&place, Ask::EvictLock(name), |_| told)
            }
        }
    }
}

fn table(locks: &Value) -> String {
    let rows = locks.as_array().into_iter().flatten().map(|lock| {
        let ends = show::millis(lock["ttl_ms"].as_u64().unwrap_or(0));
        vec![text(&lock["name"]), text(&lock["owner"]), number(&lock["depth"]), ends, number(&lock["fencing_token"])]
    });
    show::table(&["name", "owner", "depth", "ends in", "fencing token"], rows)
}
