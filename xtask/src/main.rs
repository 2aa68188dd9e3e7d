//! What people who work on tidegate run: `cargo xtask demo`, `test`, `guests`.

mod demo;
mod guests;
mod install;
mod redis;
mod run;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Building the command that builds the guests.
const TIDEGATE: [&str; 3] = ["build", "--package", "tidegate-server"];

#[derive(Parser)]
#[command(name = "cargo xtask", about = "What people who work on tidegate run")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show the main job on loopback: limits, retries, an alert, an edit and a refused one (about 30 s)
    Demo,
    /// Build the guests, run every test and check every choice of features
    Test,
    /// Build the Wasm policies into policies/
    Guests,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo => demo::run(),
        Command::Test => test::run().map(|()| true),
        Command::Guests => run::cargo(&TIDEGATE).and_then(|()| guests::build()).map(|()| true),
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
