//! Running cargo and telling what went wrong.

use std::path::{Path, PathBuf};
use std::process::Command;

/// An error is the sentence that people read.
pub type Result<T> = std::result::Result<T, String>;

/// How the variables begin by which cargo describes a package to what it runs.
const DESCRIBING: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];

/// The workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs cargo in the workspace, its output going where ours goes.
pub fn cargo(args: &[&str]) -> Result<()> {
    cargo_with(&[], args)
}

/// The same with variables of the environment.
pub fn cargo_with(variables: &[(&str, &str)], args: &[&str]) -> Result<()> {
    let shown = args.join(" ");
    eprintln!("> cargo {shown}");
    let status = command(args)
        .envs(variables.iter().copied())
        .status()
        .map_err(|error| format!("cargo cannot be run: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`cargo {shown}` failed")) }
}

/// Runs cargo in the workspace and returns what it prints.
pub fn cargo_says(args: &[&str]) -> Result<String> {
    let output = command(args).output().map_err(|error| format!("cargo cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("`cargo {}` failed: {}", args.join(" "), String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn command(args: &[&str]) -> Command {
    // Cargo names itself to what it runs, so that one toolchain builds everything.
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(args).current_dir(root());
    // `cargo run` describes this package in variables that build scripts watch: passed on, they would have `ring` and
    // all that stands on it built anew whenever people and xtask build by turns.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| DESCRIBING.iter().any(|by| name.starts_with(by))) {
            command.env_remove(name);
        }
    }
    command
}
