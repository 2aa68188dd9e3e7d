//! `cargo xtask test`: everything that must hold before a change is taken.

use crate::guests;
use crate::redis;
use crate::run::{Result, cargo, cargo_says, cargo_with};

/// What each user of the crate may choose, alone and together.
const FEATURES: [&str; 6] = ["", "redis", "rhai", "wasm", "tower", "redis,rhai,wasm,tower"];

/// What nobody compiles who embeds the limiter alone.
const HEAVY: [&str; 5] = ["wasmtime", "axum", "rhai", "hyper", "redis"];

/// How long all fuzz targets together look for inputs that break something.
const FUZZ_SECONDS: &str = "60";

/// Builds the guests, runs every test, and checks every choice of features.
pub fn run() -> Result<()> {
    // With it comes the binary that builds the guests, of the same parts as the tests are.
    cargo(&["test", "--workspace", "--no-run"])?;
    guests::build()?;
    guests::javascript()?;
    redis::find()?;
    cargo_with(&[("TIDEGATE_FUZZ_SECONDS", FUZZ_SECONDS)], &["test", "--workspace"])?;
    for features in FEATURES {
        cargo(&["check", "--package", "tidegate", "--no-default-features", "--features", features])?;
    }
    limiter_is_light()
}

fn limiter_is_light() -> Result<()> {
    let alone = dependencies(&["--no-default-features"])?;
    let whole = dependencies(&["--all-features"])?;
    // The look itself is checked first: were the tree read wrongly, nothing would be found in it either.
    if !whole.iter().any(|name| name == "wasmtime") {
        return Err("`cargo tree` was not understood: wasmtime is missing from the tree with every feature".to_owned());
    }
    match HEAVY.into_iter().find(|heavy| alone.iter().any(|name| name == heavy)) {
        Some(heavy) => {
            Err(format!("who embeds the limiter alone compiles {heavy}; see `cargo tree -p tidegate -i {heavy}`"))
        }
        None => {
            eprintln!("the limiter alone compiles {} crates, none of {HEAVY:?}", alone.len());
            Ok(())
        }
    }
}

/// The names of everything that a user of `tidegate` compiles with these features.
fn dependencies(features: &[&str]) -> Result<Vec<String>> {
    let plain = [
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
    let tree = cargo_says(&[&plain, features].concat())?;
    let mut names: Vec<_> = tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    Ok(names)
}
