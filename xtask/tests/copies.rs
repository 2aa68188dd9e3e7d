//! Checks that files that exist more than once are equal, and that no file is a symbolic link.
#![allow(clippy::unwrap_used, reason = "a test may panic on an unexpected error")]

use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn copies_are_equal_to_their_sources() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).args(["sync", "--check"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Returns all symbolic links below a directory, except in build output and installed packages.
fn symbolic_links(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let kept = entries.filter(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name != "target" && name != "node_modules" && !name.starts_with('.')
    });
    kept.flat_map(|entry| {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            symbolic_links(&entry.path())
        } else {
            Vec::from_iter(kind.is_symlink().then(|| entry.path()))
        }
    })
    .collect()
}

/// Git on Windows checks out a symbolic link as a text file that contains the path.
#[test]
fn repository_contains_no_symbolic_links() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    assert_eq!(symbolic_links(&root), Vec::<PathBuf>::new());
}
