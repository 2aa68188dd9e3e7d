//! Reads the files of the policy directory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::paths::{CANDIDATE, PolicyLanguage, RULES};

/// How often a file is read while it keeps changing. After that, the next scan reads it again.
const MAX_READS: usize = 4;

/// The maximum size of a component, in bytes. Components of interpreted languages contain their interpreter.
const MAX_COMPONENT_SIZE: u64 = 64 << 20;
/// The maximum size of a script and of `alerts.toml`, in bytes.
const MAX_TEXT_SIZE: u64 = 1 << 20;

/// A file of the directory.
pub struct PolicyFile {
    /// The path within the directory, with `/`.
    pub path: String,
    /// The content, or why it could not be read.
    pub content: Result<FileContent, String>,
}

/// The content of a file.
pub struct FileContent {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Their SHA-256 in hexadecimal.
    pub hash: String,
}

/// The files by the key of their slot, such as `alerts.toml`, `alerts/burn_rate.rhai`, `retry/taobao` and
/// `retry/taobao.candidate`. A key with two files, such as `taobao.rhai` and `taobao.wasm`, is a conflict.
pub type Scan = BTreeMap<String, Vec<PolicyFile>>;

/// Reads the directory. `is_known` returns whether a path was loaded with a hash before. Such a file is read only once,
/// because its content is known to be complete.
///
/// # Errors
/// Returns an error if the directory itself cannot be read.
pub fn scan(dir: &Path, is_known: impl Fn(&str, &str) -> bool) -> io::Result<Scan> {
    fs::read_dir(dir)?;
    let mut scan = Scan::new();
    let mut add = |key: String, path: String| {
        let full_path = dir.join(&path);
        if full_path.is_dir() {
            return;
        }
        match read_stable(&full_path, |hash| is_known(&path, hash)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            content => {
                let content = content.map_err(|error| error.to_string());
                scan.entry(key).or_default().push(PolicyFile { path, content });
            }
        }
    };
    add(RULES.to_owned(), RULES.to_owned());
    for name in policy_names(&dir.join("alerts"))?.into_iter().filter(|name| !name.contains(CANDIDATE)) {
        add(format!("alerts/{name}"), format!("alerts/{name}"));
    }
    for folder in ["retry", "admit"] {
        for name in policy_names(&dir.join(folder))? {
            let platform = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
            add(format!("{folder}/{platform}"), format!("{folder}/{name}"));
        }
    }
    Ok(scan)
}

/// Returns the sorted names of the policy files in a folder. A missing folder has none.
fn policy_names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        entries => entries?,
    };
    let mut names = vec![];
    for entry in entries {
        names.extend(entry?.file_name().into_string().ok().filter(|name| is_policy(name)));
    }
    names.sort();
    Ok(names)
}

/// Whether a file of this name is a policy, and not a hidden file or an editor's backup.
fn is_policy(name: &str) -> bool {
    matches!(PolicyLanguage::from_path(Path::new(name)), Some(PolicyLanguage::Rhai | PolicyLanguage::Wasm))
        && !name.starts_with(['.', '#'])
}

/// Reads a file until two reads return the same bytes, because another process may be writing it.
fn read_stable(path: &Path, is_known: impl Fn(&str) -> bool) -> io::Result<FileContent> {
    let bytes = read(path)?;
    let mut content = FileContent { hash: hash(&bytes), bytes };
    if is_known(&content.hash) {
        return Ok(content);
    }
    for _ in 1..MAX_READS {
        let again = read(path)?;
        if again == content.bytes {
            return Ok(content);
        }
        content = FileContent { hash: hash(&again), bytes: again };
    }
    Err(io::Error::other("the file keeps changing while it is read; it will be read again"))
}

/// Reads a regular file that is not larger than a policy may be. A pipe would block, and a very large file would fill
/// the memory.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("expected a regular file"));
    }
    let is_component = path.extension().is_some_and(|extension| extension == "wasm");
    let max = if is_component { MAX_COMPONENT_SIZE } else { MAX_TEXT_SIZE };
    let mut bytes = vec![];
    // The size in the metadata may be out of date by now, so the read itself is limited.
    if fs::File::open(path)?.take(max + 1).read_to_end(&mut bytes)? as u64 > max {
        return Err(io::Error::other(format!("the file is too large: expected at most {} MiB", max >> 20)));
    }
    Ok(bytes)
}

/// Returns the SHA-256 of bytes in hexadecimal.
pub fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn oversized_and_special_files_are_rejected_without_reading_them() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("retry")).unwrap();
        let file = |path: &str, size: u64| {
            fs::File::create(dir.path().join(path)).unwrap().set_len(size).unwrap();
        };
        file("retry/large.wasm", MAX_COMPONENT_SIZE);
        file("retry/huge.wasm", MAX_COMPONENT_SIZE + 1);
        file("retry/long.rhai", MAX_TEXT_SIZE);
        file("retry/endless.rhai", MAX_TEXT_SIZE + 1);
        file("alerts.toml", MAX_TEXT_SIZE + 1);
        symlink("/dev/zero", dir.path().join("retry/zero.rhai")).unwrap();
        symlink("long.rhai", dir.path().join("retry/linked.rhai")).unwrap();
        let mkfifo = std::process::Command::new("mkfifo").arg(dir.path().join("retry/pipe.rhai")).status();
        assert!(mkfifo.unwrap().success());
        let scan = scan(dir.path(), |_, _| false).unwrap();
        let error = |key: &str| scan[key][0].content.as_ref().err().cloned().unwrap_or_default();
        assert_eq!([error("retry/large"), error("retry/long"), error("retry/linked")], [""; 3]);
        assert_eq!(error("retry/huge"), "the file is too large: expected at most 64 MiB");
        for key in ["retry/endless", RULES] {
            assert_eq!(error(key), "the file is too large: expected at most 1 MiB", "{key}");
        }
        for key in ["retry/zero", "retry/pipe"] {
            assert_eq!(error(key), "expected a regular file", "{key}");
        }
    }

    #[test]
    fn scan_reads_policy_files_only() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["alerts", "retry", "guests", "retry/nested.rhai"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let files = [
            "alerts.toml",
            "README.md",
            "default.test.toml",
            "guests/x.rhai",
            "alerts/burn.rhai",
            "alerts/burn.wasm",
            "alerts/burn.test.toml",
            "retry/taobao.rhai",
            "retry/taobao.rhai~",
            "retry/.taobao.rhai.swp",
            "retry/.hidden.rhai",
            "retry/#taobao.rhai#",
            "retry/taobao.candidate.rhai",
            "retry/4913",
            "retry/notes.md",
            "retry/taobao.wasm",
            "retry/pdd.wasm",
        ];
        for file in files {
            fs::write(dir.path().join(file), file).unwrap();
        }
        let scan = scan(dir.path(), |_, _| false).unwrap();
        let actual: Vec<_> = scan
            .iter()
            .map(|(key, files)| {
                let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
                format!("{key}: {}", paths.join(" "))
            })
            .collect();
        let expected = [
            "alerts.toml: alerts.toml",
            "alerts/burn.rhai: alerts/burn.rhai",
            "alerts/burn.wasm: alerts/burn.wasm",
            "retry/pdd: retry/pdd.wasm",
            "retry/taobao: retry/taobao.rhai retry/taobao.wasm",
            "retry/taobao.candidate: retry/taobao.candidate.rhai",
        ];
        assert_eq!(actual, expected);
    }
}
