//! `cargo xtask test`: all checks that a change must pass.

use crate::guests;
use crate::redis;
use crate::run::{Result, cargo, cargo_output, cargo_with};

/// The feature sets of the crate `tidegate` that are checked: none, each feature alone, and all together.
const FEATURE_SETS: [&str; 6] = ["", "redis", "rhai", "wasm", "tower", "redis,rhai,wasm,tower"];

/// Crates that must not be compiled when an application uses only the limiter.
const HEAVY_CRATES: [&str; 5] = ["wasmtime", "axum", "rhai", "hyper", "redis"];

/// The maximum number of crates that are compiled when an application uses only the limiter.
const MAX_LIMITER_CRATES: usize = 45;

/// How long all fuzz targets together run, in seconds.
const FUZZ_SECONDS: &str = "60";

/// Builds the guests, runs all tests and checks all feature sets.
pub fn run() -> Result<()> {
    // This also builds the binary that builds the guests, with the same features as the tests.
    cargo(&["test", "--workspace", "--no-run"])?;
    guests::build()?;
    guests::build_javascript()?;
    redis::ensure_installed()?;
    cargo_with(&[("TIDEGATE_FUZZ_SECONDS", FUZZ_SECONDS)], &["test", "--workspace"])?;
    for features in FEATURE_SETS {
        cargo(&["check", "--package", "tidegate", "--no-default-features", "--features", features])?;
    }
    check_limiter_dependencies()
}

fn check_limiter_dependencies() -> Result<()> {
    let limiter_only = dependencies(&["--no-default-features"])?;
    let all_features = dependencies(&["--all-features"])?;
    // A wrongly parsed tree would contain no heavy crates either, so this checks the parser first.
    if !all_features.iter().any(|name| name == "wasmtime") {
        return Err(
            "cannot parse the output of `cargo tree`: wasmtime is missing from the dependencies with all features"
                .to_owned(),
        );
    }
    match HEAVY_CRATES.into_iter().find(|heavy| limiter_only.iter().any(|name| name == heavy)) {
        Some(heavy) => {
            Err(format!("the limiter without features depends on {heavy}; see `cargo tree -p tidegate -i {heavy}`"))
        }
        None if limiter_only.len() > MAX_LIMITER_CRATES => Err(format!(
            "the limiter without features depends on {} crates, expected at most {MAX_LIMITER_CRATES}; see `cargo tree`",
            limiter_only.len()
        )),
        None => {
            eprintln!(
                "the limiter without features depends on {} crates and on none of {HEAVY_CRATES:?}",
                limiter_only.len()
            );
            Ok(())
        }
    }
}

/// Returns the names of all crates that `tidegate` depends on with these features.
fn dependencies(features: &[&str]) -> Result<Vec<String>> {
    let arguments = [
        "tree",
        "--package",
        "tidegate",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--no-dedupe",
    ];
    let tree = cargo_output(&[&arguments, features].concat())?;
    let mut names: Vec<_> = tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    Ok(names)
}
