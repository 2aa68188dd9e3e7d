//! `cargo xtask guests`: builds the Wasm components of the guests with `tidegate build`.
//!
//! The components are written to `target/guests`, not to `policies/`: a platform has only one retry policy, and the
//! shipped one is a script.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::slice;
use std::time::Duration;

use crate::install::{apt_install, run};
use crate::run::{Result, binary, root};

/// The target of Rust guests.
const TARGET: &str = "wasm32-unknown-unknown";
/// The Debian packages that can build Rust guests: Rust, the source of its standard library, and a linker for Wasm.
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld"];
/// The timeout of `rustup`, which waits forever if it cannot download.
const RUSTUP_TIMEOUT: Duration = Duration::from_secs(60);
/// The exit status of `tidegate build` if a tool is missing.
const EXIT_MISSING_TOOL: i32 = 2;

/// The component of `policies/guests/pdd`.
pub const PDD_COMPONENT: &str = "target/guests/rust/retry/pdd.wasm";

/// Builds every guest in `policies/guests` and writes the components below `target/guests/rust`. Installs a Wasm
/// toolchain if none is installed.
///
/// The binary `tidegate` must have been built before.
///
/// # Errors
/// Returns an error if no Wasm toolchain can be installed, or if a guest cannot be built.
pub fn build() -> Result<()> {
    let guests = guest_directories(&root().join("policies/guests"))?;
    let options = ["--policies", "target/guests/rust"];
    let mut status = tidegate_build(&guests, &options)?;
    if status == Some(EXIT_MISSING_TOOL) {
        install_toolchain()?;
        status = tidegate_build(&guests, &options)?;
    }
    check_exit_status("the guests", status)
}

/// Builds the example of the JavaScript SDK and runs its tests. The component is written to `target/guests/js`.
///
/// # Errors
/// Returns an error if Node.js or npm is missing, if the example cannot be built, or if one of its tests fails.
pub fn build_javascript() -> Result<()> {
    let example = root().join("sdk/js");
    let options = ["--name", "pdd", "--policies", "target/guests/js"];
    check_exit_status("the JavaScript guest", tidegate_build(slice::from_ref(&example), &options)?)?;
    let tests = Command::new("node").arg("--test").current_dir(&example).status();
    let passed = tests.map_err(|error| format!("cannot run node: {error}"))?.success();
    if passed { Ok(()) } else { Err("a test in sdk/js failed, see the output above".to_owned()) }
}

fn check_exit_status(name: &str, status: Option<i32>) -> Result<()> {
    if status == Some(0) { Ok(()) } else { Err(format!("cannot build {name}, see the output above")) }
}

/// Runs `tidegate build` in the workspace and returns its exit status.
fn tidegate_build(projects: &[PathBuf], options: &[&str]) -> Result<Option<i32>> {
    let mut command = Command::new(binary("tidegate")?);
    command.arg("build").args(projects).args(options).current_dir(root());
    // A separate target directory avoids waiting for the lock of builds in the workspace.
    command.env("CARGO_TARGET_DIR", root().join("target/guests"));
    let status = command.status().map_err(|error| format!("cannot run tidegate: {error}"))?;
    Ok(status.code())
}

/// Returns the directories of the guests, sorted by name.
fn guest_directories(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).map_err(|error| format!("cannot read {}: {error}", dir.display()))?;
    let is_project = |path: &PathBuf| path.join("Cargo.toml").is_file();
    let mut projects: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(is_project).collect();
    projects.sort();
    Ok(projects)
}

/// Adds the target to the active Rust toolchain. If this fails, installs Debian's Rust.
fn install_toolchain() -> Result<()> {
    eprintln!("running `rustup target add {TARGET}` (timeout {} s)", RUSTUP_TIMEOUT.as_secs());
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TARGET]);
    let Err(rustup_error) = run(rustup, RUSTUP_TIMEOUT) else { return Ok(()) };
    apt_install(&DEBIAN_PACKAGES).map_err(|apt_error| {
        format!(
            "no Wasm toolchain is installed: run `rustup target add {TARGET}` (tried: {rustup_error}), or on Debian \
             `apt-get install -y --no-install-recommends {}` (tried: {apt_error})",
            DEBIAN_PACKAGES.join(" ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_with_a_manifest_are_guests() {
        let dir = tempfile::tempdir().unwrap();
        for (name, manifest) in [("b", "Cargo.toml"), ("a", "Cargo.toml"), ("notes", "README.md")] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join(manifest), "").unwrap();
        }
        assert_eq!(guest_directories(dir.path()).unwrap(), [dir.path().join("a"), dir.path().join("b")]);
    }
}
