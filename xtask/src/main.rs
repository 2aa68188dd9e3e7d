//! The development commands of the workspace: `cargo xtask demo`, `test`, `guests` and `sync`.

mod demo;
mod guests;
mod install;
mod redis;
mod run;
mod sync;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The cargo arguments that build `tidegate`, which builds the guests.
const BUILD_TIDEGATE: [&str; 3] = ["build", "--package", "tidegate-server"];

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Development commands of the tidegate workspace")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a demo on this machine: limits, retries, an alert, a rule edit and a rejected edit (about 30 s)
    Demo,
    /// Build the guests, run all tests and check all combinations of features
    Test,
    /// Build the Wasm policies in policies/guests and write them to target/guests/rust
    Guests,
    /// Update the files that exist more than once, for example the copies of the contract with guests
    Sync {
        /// Only report which copies differ from their sources
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo => demo::run(),
        Command::Test => test::run().map(|()| true),
        Command::Guests => run::cargo(&BUILD_TIDEGATE).and_then(|()| guests::build()).map(|()| true),
        Command::Sync { check: true } => sync::check().map(|()| true),
        Command::Sync { check: false } => sync::update().map(|()| true),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
