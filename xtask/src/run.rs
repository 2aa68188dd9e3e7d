//! Runs cargo in the workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A result whose error is a message for the user.
pub type Result<T> = std::result::Result<T, String>;

/// The prefixes of the environment variables in which cargo passes package metadata to the programs that it runs.
const PACKAGE_VARIABLE_PREFIXES: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];

/// Returns the root directory of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the path of a program that cargo built in the workspace. It is in the directory of this program, also if
/// `CARGO_TARGET_DIR` is set.
pub fn binary(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().map_err(|error| format!("cannot find the build directory: {error}"))?;
    Ok(own.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}

/// Runs cargo in the workspace and inherits standard output and standard error.
pub fn cargo(args: &[&str]) -> Result<()> {
    cargo_with(&[], args)
}

/// Like [`cargo`], with additional environment variables.
pub fn cargo_with(variables: &[(&str, &str)], args: &[&str]) -> Result<()> {
    let arguments = args.join(" ");
    eprintln!("> cargo {arguments}");
    let status =
        command(args).envs(variables.iter().copied()).status().map_err(|error| format!("cannot run cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`cargo {arguments}` failed")) }
}

/// Runs cargo in the workspace and returns its standard output.
pub fn cargo_output(args: &[&str]) -> Result<String> {
    let output = command(args).output().map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("`cargo {}` failed: {}", args.join(" "), String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn command(args: &[&str]) -> Command {
    // `cargo xtask` sets CARGO to its own path. Using it builds everything with one toolchain.
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(args).current_dir(root());
    // `cargo run` sets variables with the metadata of this package, and some build scripts depend on such variables. If
    // they were inherited, `ring` and all crates that depend on it would be rebuilt whenever a build with xtask follows
    // one without it.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| PACKAGE_VARIABLE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))) {
            command.env_remove(name);
        }
    }
    command
}
