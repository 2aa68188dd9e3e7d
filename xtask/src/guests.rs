//! `cargo xtask guests`: has `tidegate build` turn the guests' sources into the components that a host loads.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::slice;
use std::time::Duration;

use crate::install::{apt, run};
use crate::run::{Result, root};

/// What Rust guests are compiled for.
const TARGET: &str = "wasm32-unknown-unknown";
/// Debian's Rust with the source of its standard library, and a linker for Wasm.
const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld"];
/// rustup waits for ever where it cannot download.
const RUSTUP_PATIENCE: Duration = Duration::from_secs(60);
/// What `tidegate build` ends with where a tool is missing.
const MISSING: i32 = 2;

/// Builds every guest of `policies/guests`, where need be with a toolchain that it gets first.
///
/// The binary `tidegate` has been built by then.
///
/// # Errors
/// One sentence: what to install where nothing can build Wasm here, or that a guest failed, as was told above.
pub fn build() -> Result<()> {
    let guests = guests(&root().join("policies/guests"))?;
    let options = ["--policies", "policies"];
    let mut code = tidegate_build(&guests, &options)?;
    if code == Some(MISSING) {
        get_toolchain()?;
        code = tidegate_build(&guests, &options)?;
    }
    told_above("the guests", code)
}

/// Tests the example of the JavaScript SDK and builds it into `target/guests/js`, for the cases that all languages share.
///
/// # Errors
/// Where Node.js or npm is missing, or the example fails, as was told above.
pub fn javascript() -> Result<()> {
    let example = root().join("sdk/js");
    let options = ["--name", "pdd", "--policies", "target/guests/js"];
    told_above("the JavaScript guest", tidegate_build(slice::from_ref(&example), &options)?)?;
    let tests = Command::new("node").arg("--test").current_dir(&example).status();
    let passed = tests.map_err(|error| format!("node cannot be run: {error}"))?.success();
    if passed { Ok(()) } else { Err("a test of sdk/js failed, as told above".to_owned()) }
}

fn told_above(what: &str, code: Option<i32>) -> Result<()> {
    if code == Some(0) { Ok(()) } else { Err(format!("{what} cannot be built, as told above")) }
}

/// Runs `tidegate build` in the workspace and tells its exit code.
fn tidegate_build(projects: &[PathBuf], options: &[&str]) -> Result<Option<i32>> {
    let mut command = Command::new(root().join("target/debug/tidegate"));
    command.arg("build").args(projects).args(options).current_dir(root());
    // Apart from what the workspace builds for this machine, so that neither waits for the other.
    command.env("CARGO_TARGET_DIR", root().join("target/guests"));
    let status = command.status().map_err(|error| format!("tidegate cannot be run: {error}"))?;
    Ok(status.code())
}

/// The directories of the guests, in the order of their names.
fn guests(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).map_err(|error| format!("{} cannot be read: {error}", dir.display()))?;
    let is_project = |path: &PathBuf| path.join("Cargo.toml").is_file() || path.join("package.json").is_file();
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(is_project).collect();
    found.sort();
    Ok(found)
}

/// Adds the target to the active toolchain, or installs Debian's Rust.
fn get_toolchain() -> Result<()> {
    eprintln!("guests: trying `rustup target add {TARGET}`, for {} s at most", RUSTUP_PATIENCE.as_secs());
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TARGET]);
    let Err(rustup) = run(rustup, RUSTUP_PATIENCE) else { return Ok(()) };
    apt(&PACKAGES).map_err(|apt| {
        format!(
            "nothing here builds Wasm: run `rustup target add {TARGET}` (here it {rustup}), or on Debian `apt-get \
             install -y --no-install-recommends {}` (here it {apt})",
            PACKAGES.join(" ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_with_a_manifest_are_guests() {
        let dir = tempfile::tempdir().unwrap();
        for (name, manifest) in [("b", "Cargo.toml"), ("a", "package.json"), ("notes", "README.md")] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join(manifest), "").unwrap();
        }
        assert_eq!(guests(dir.path()).unwrap(), [dir.path().join("a"), dir.path().join("b")]);
    }
}
