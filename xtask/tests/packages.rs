//! Checks that each published crate has the metadata and files that its package needs.
#![allow(clippy::unwrap_used, reason = "a test may panic on an unexpected error")]

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// The crates that are not published.
const UNPUBLISHED: [&str; 4] = ["gateway", "pdd-retry-policy", "tidegate-tests", "xtask"];

/// Returns the packages of the workspace as `cargo metadata` describes them.
fn packages() -> Vec<Value> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let mut metadata: Value = serde_json::from_slice(&cargo.output().unwrap().stdout).unwrap();
    serde_json::from_value(metadata["packages"].take()).unwrap()
}

/// Returns what is missing in a published package.
fn missing(package: &Value) -> Vec<&'static str> {
    let dir = Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap();
    let has_text = |key: &str| package[key].as_str().is_some_and(|text| !text.is_empty());
    let has_items = |key: &str| package[key].as_array().is_some_and(|items| (1..=5).contains(&items.len()));
    let dependencies = package["dependencies"].as_array().unwrap();
    let has_version = |dependency: &Value| dependency["path"].is_null() || dependency["req"] != "*";
    let checks = [
        ("description", has_text("description")),
        ("license", has_text("license")),
        ("repository", has_text("repository")),
        ("one to five keywords", has_items("keywords")),
        ("one to five categories", has_items("categories")),
        ("[package.metadata.docs.rs] all-features = true", package["metadata"]["docs"]["rs"]["all-features"] == true),
        ("readme = \"README.md\"", package["readme"] == "README.md"),
        ("README.md", dir.join("README.md").is_file()),
        ("LICENSE; run `cargo xtask sync`", dir.join("LICENSE").is_file()),
        ("a version for each path dependency", dependencies.iter().all(has_version)),
    ];
    checks.into_iter().filter(|(_, present)| !present).map(|(name, _)| name).collect()
}

#[test]
fn published_packages_are_complete_and_the_others_are_not_published() {
    let packages = packages();
    assert!(packages.len() > UNPUBLISHED.len(), "cannot parse the output of `cargo metadata`");
    for package in packages {
        let name = package["name"].as_str().unwrap();
        if UNPUBLISHED.contains(&name) {
            assert_eq!(package["publish"], json!([]), "{name}: `publish = false` is missing");
        } else {
            assert_eq!(package["publish"], Value::Null, "{name}: `publish = false` but not in UNPUBLISHED");
            assert_eq!(missing(&package), Vec::<&str>::new(), "{name} does not contain all it needs");
        }
    }
}

#[test]
fn missing_metadata_is_found() {
    let dependency = json!({ "path": "/core", "req": "*" });
    let package = json!({ "manifest_path": "/nonexistent/Cargo.toml", "keywords": [], "dependencies": [dependency] });
    assert_eq!(missing(&package).len(), 10);
}
