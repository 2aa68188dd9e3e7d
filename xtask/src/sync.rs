//! `cargo xtask sync`: updates the files that exist more than once.
//!
//! A package contains only files below its own directory. Therefore a file that two packages need exists in both. One
//! of them is the source, which people edit; the others are copies.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::run::{Result, cargo_output, root};

/// A directory whose files are copies of the files of another directory.
struct DirectoryCopy {
    source: &'static str,
    target: &'static str,
    /// Whether the copy includes the subdirectories.
    recursive: bool,
}

/// The directories that exist more than once.
///
/// Guests need only the newest version of the contract, which is outside of the subdirectories of `sdk/wit`.
const DIRECTORIES: [DirectoryCopy; 7] = [
    DirectoryCopy { source: "sdk/wit", target: "host/policy/wit", recursive: true },
    DirectoryCopy { source: "sdk/wit", target: "sdk/rust/wit", recursive: false },
    DirectoryCopy { source: "sdk/wit", target: "sdk/js/sdk/wit", recursive: false },
    DirectoryCopy { source: "sdk/wit", target: "host/server/templates/wit", recursive: false },
    DirectoryCopy { source: "sdk/rust/src", target: "host/server/templates/rust/src", recursive: true },
    DirectoryCopy { source: "sdk/js/sdk", target: "host/server/templates/js/sdk", recursive: false },
    DirectoryCopy { source: "sdk/js/sdk/worlds", target: "host/server/templates/js/sdk/worlds", recursive: true },
];

/// The contents of files, by path below the workspace.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Updates all copies and prints the path of each file that changed.
///
/// # Errors
/// Returns an error if a file cannot be read, written or removed.
pub fn update() -> Result<()> {
    for (path, contents) in outdated(&root(), &published_packages()?)? {
        let file = root().join(&path);
        write_or_remove(&file, contents.as_deref()).map_err(|error| format!("{}: {error}", path.display()))?;
        eprintln!("updated {}", path.display());
    }
    Ok(())
}

/// Checks that all copies are equal to their sources.
///
/// # Errors
/// Returns an error that lists the copies that differ, or that a file cannot be read.
pub fn check() -> Result<()> {
    let outdated = outdated(&root(), &published_packages()?)?;
    if outdated.is_empty() {
        return Ok(());
    }
    let paths: Vec<_> = outdated.keys().map(|path| format!("  {}", path.display())).collect();
    Err(format!(
        "these copies differ from their sources; edit the source (see xtask/src/sync.rs) and run `cargo xtask sync`:\n{}",
        paths.join("\n")
    ))
}

/// Returns the directories of the packages that are published, below the workspace. Each contains a copy of the
/// license.
fn published_packages() -> Result<Vec<PathBuf>> {
    let metadata = cargo_output(&["metadata", "--no-deps", "--offline", "--format-version", "1"])?;
    let metadata: Value = serde_json::from_str(&metadata).map_err(|error| format!("`cargo metadata`: {error}"))?;
    let workspace = metadata["workspace_root"].as_str().unwrap_or_default();
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let published = packages.iter().filter(|package| package["publish"].is_null());
    let directory = |package: &Value| {
        let manifest = Path::new(package["manifest_path"].as_str()?);
        Some(manifest.parent()?.strip_prefix(workspace).ok()?.to_owned())
    };
    Ok(published.filter_map(directory).collect())
}

/// Returns the copies that differ from their source, each with the contents that it must have. A copy without a source
/// has no contents and must be removed.
fn outdated(root: &Path, published: &[PathBuf]) -> Result<BTreeMap<PathBuf, Option<Vec<u8>>>> {
    let (mut expected, mut actual) = (Files::new(), Files::new());
    for DirectoryCopy { source, target, recursive } in DIRECTORIES {
        expected.append(&mut read_directory(root, source, target, recursive)?);
        actual.append(&mut read_directory(root, target, target, recursive)?);
    }
    let license = fs::read(root.join("LICENSE")).map_err(|error| format!("LICENSE: {error}"))?;
    for package in published {
        let path = package.join("LICENSE");
        actual.extend(fs::read(root.join(&path)).ok().map(|contents| (path.clone(), contents)));
        expected.insert(path, license.clone());
    }
    let removed = actual.keys().filter(|path| !expected.contains_key(*path)).map(|path| (path.clone(), None));
    let mut outdated: BTreeMap<_, _> = removed.collect();
    let changed = expected.into_iter().filter(|(path, contents)| actual.get(path) != Some(contents));
    outdated.extend(changed.map(|(path, contents)| (path, Some(contents))));
    Ok(outdated)
}

/// Reads the files of a directory below `root`. The keys are their paths below `target`. A missing directory is empty.
fn read_directory(root: &Path, dir: &str, target: &str, recursive: bool) -> Result<Files> {
    let mut files = Files::new();
    let entries = match fs::read_dir(root.join(dir)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(format!("{dir}: {error}")),
    };
    for entry in entries {
        let path = entry.map_err(|error| format!("{dir}: {error}"))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !path.is_dir() {
            let contents = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            files.insert(Path::new(target).join(&*name), contents);
        } else if recursive {
            files.append(&mut read_directory(root, &format!("{dir}/{name}"), &format!("{target}/{name}"), true)?);
        }
    }
    Ok(files)
}

/// Writes a file and its directory. Without contents, removes the file.
fn write_or_remove(file: &Path, contents: Option<&[u8]>) -> io::Result<()> {
    let Some(contents) = contents else { return fs::remove_file(file) };
    file.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(file, contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates a workspace in which each source directory has one file and there are no copies.
    fn workspace() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        write_or_remove(&dir.path().join("LICENSE"), Some(b"text")).unwrap();
        for DirectoryCopy { source, .. } in DIRECTORIES {
            write_or_remove(&dir.path().join(source).join("file"), Some(source.as_bytes())).unwrap();
        }
        dir
    }

    fn apply(root: &Path) -> usize {
        let outdated = outdated(root, &["lua".into()]).unwrap();
        for (path, contents) in &outdated {
            write_or_remove(&root.join(path), contents.as_deref()).unwrap();
        }
        outdated.len()
    }

    #[test]
    fn update_creates_changes_and_removes_copies() {
        let dir = workspace();
        let path = |name: &str| dir.path().join(name);
        assert_eq!(apply(dir.path()), DIRECTORIES.len() + 1);
        assert_eq!(apply(dir.path()), 0, "the copies are up to date");
        assert_eq!(fs::read_to_string(path("host/policy/wit/file")).unwrap(), "sdk/wit");
        assert_eq!(fs::read_to_string(path("lua/LICENSE")).unwrap(), "text");

        // The old version of the contract is copied only for the host.
        write_or_remove(&path("sdk/wit/0.1.0/file"), Some(b"old")).unwrap();
        fs::write(path("sdk/rust/wit/file"), "edited").unwrap();
        fs::write(path("host/server/templates/js/sdk/extra"), "").unwrap();
        let paths: Vec<_> = outdated(dir.path(), &[]).unwrap().into_keys().collect();
        let expected = ["host/policy/wit/0.1.0/file", "host/server/templates/js/sdk/extra", "sdk/rust/wit/file"];
        assert_eq!(paths, expected.map(PathBuf::from));
        assert_eq!(apply(dir.path()), 3);
        assert_eq!(fs::read_to_string(path("sdk/rust/wit/file")).unwrap(), "sdk/wit");
        assert!(!path("host/server/templates/js/sdk/extra").exists());
    }
}
