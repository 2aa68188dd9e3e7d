//! Checks that the files that documents name exist.
#![allow(clippy::unwrap_used, reason = "a test may panic on an unexpected error")]

use std::fs;
use std::path::{Path, PathBuf};

/// The documents for developers.
const DOCUMENTS: [&str; 2] = ["CONTRIBUTING.md", "host/ARCHITECTURE.md"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the paths in the code spans of a document. A path starts with a directory of the repository or of `host`,
/// contains no placeholder such as `NAME` or `*`, and is not build output.
fn paths(text: &str) -> Vec<&str> {
    let spans = text.split('`').skip(1).step_by(2);
    let is_path = |span: &&str| {
        let first = span.split_once('/').map(|(first, _)| first);
        let exists = |first: &str| root().join(first).is_dir() || root().join("host").join(first).is_dir();
        let is_plain = span.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "/._-".contains(c));
        is_plain && first.is_some_and(|first| !first.is_empty() && first != "target" && exists(first))
    };
    spans.filter(is_path).collect()
}

#[test]
fn paths_in_documents_exist() {
    for document in DOCUMENTS {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let paths = paths(&text);
        assert!(paths.len() > 20, "{document}: found only {} paths", paths.len());
        let is_missing = |path: &&&str| !root().join(path).exists() && !root().join("host").join(path).exists();
        let missing: Vec<_> = paths.iter().filter(is_missing).collect();
        assert!(missing.is_empty(), "{document} names files that do not exist: {missing:?}");
    }
}

#[test]
fn only_paths_of_the_repository_are_checked() {
    let text = "`host/core` and `core/src/missing.rs`, not `retry/default`, `GET /v1/x`, `lua/NAME_N.lua`, `target/guests` or host/x.";
    assert_eq!(paths(text), ["host/core", "core/src/missing.rs"]);
}
