//! What lies in the policies directory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::engines::Language;

/// The file of the alert rules.
pub const RULES: &str = "alerts.toml";
/// What stands before the ending of a policy that runs beside the live one and only reports where it differs.
pub const CANDIDATE: &str = ".candidate";
/// How often a file that changes under the reader is read before it is left for the next scan.
const READS: usize = 4;

/// The largest component, in bytes; those of interpreted languages carry their interpreter.
const MAX_COMPONENT: u64 = 64 << 20;
/// The largest script and the largest `alerts.toml`, in bytes.
const MAX_TEXT: u64 = 1 << 20;

/// A file as it was found.
pub struct Found {
    /// Its path within the directory, with `/`.
    pub path: String,
    /// Its contents, or why they could not be read.
    pub content: Result<Content, String>,
}

/// The contents of a file.
pub struct Content {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Their SHA-256 in hexadecimal.
    pub hash: String,
}

/// The files by what they are for: `alerts.toml`, `alerts/burn_rate.rhai`, `retry/taobao` (which two files may claim),
/// `retry/taobao.candidate`.
pub type Scan = BTreeMap<String, Vec<Found>>;

/// Reads the directory; `known` says which contents of a path are no news, so that they need not be read twice.
///
/// # Errors
/// Where the directory itself cannot be read.
pub fn scan(dir: &Path, known: impl Fn(&str, &str) -> bool) -> io::Result<Scan> {
    fs::read_dir(dir)?;
    let mut scan = Scan::new();
    let mut add = |purpose: String, path: String| {
        let full = dir.join(&path);
        if full.is_dir() {
            return;
        }
        match settled(&full, |hash| known(&path, hash)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            content => {
                let content = content.map_err(|error| error.to_string());
                scan.entry(purpose).or_default().push(Found { path, content });
            }
        }
    };
    add(RULES.to_owned(), RULES.to_owned());
    for name in names(&dir.join("alerts"))?.into_iter().filter(|name| !name.contains(CANDIDATE)) {
        add(format!("alerts/{name}"), format!("alerts/{name}"));
    }
    for folder in ["retry", "admit"] {
        for name in names(&dir.join(folder))? {
            let platform = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
            add(format!("{folder}/{platform}"), format!("{folder}/{name}"));
        }
    }
    Ok(scan)
}

/// The names of policies in a folder, sorted; a folder that is not there has none.
fn names(folder: &Path) -> io::Result<Vec<String>> {
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

/// Whether a file of this name is a policy: not hidden, no backup of an editor.
fn is_policy(name: &str) -> bool {
    Language::of(name).is_some() && !name.starts_with(['.', '#'])
}

/// Reads a file until two reads agree: a writer may be half done.
fn settled(path: &Path, is_known: impl Fn(&str) -> bool) -> io::Result<Content> {
    let bytes = read(path)?;
    let mut content = Content { hash: hash(&bytes), bytes };
    if is_known(&content.hash) {
        return Ok(content);
    }
    for _ in 1..READS {
        let again = read(path)?;
        if again == content.bytes {
            return Ok(content);
        }
        content = Content { hash: hash(&again), bytes: again };
    }
    Err(io::Error::other("it changes while it is read; it will be read again"))
}

/// Reads a regular file of a size that a policy can have: a pipe would block, and a disk image would fill the memory.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("expected a regular file"));
    }
    let is_component = path.extension().is_some_and(|extension| extension == "wasm");
    let max = if is_component { MAX_COMPONENT } else { MAX_TEXT };
    let mut bytes = vec![];
    // The size that a file says it has may be another one by now.
    if fs::File::open(path)?.take(max + 1).read_to_end(&mut bytes)? as u64 > max {
        return Err(io::Error::other(format!("expected at most {} MiB; a policy is not so large", max >> 20)));
    }
    Ok(bytes)
}

/// The SHA-256 of bytes, in hexadecimal.
pub fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a String takes everything
        text
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_cannot_be_a_policy_is_refused_unread() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("retry")).unwrap();
        let file = |path: &str, size: u64| {
            fs::File::create(dir.path().join(path)).unwrap().set_len(size).unwrap();
        };
        file("retry/large.wasm", MAX_COMPONENT);
        file("retry/huge.wasm", MAX_COMPONENT + 1);
        file("retry/long.rhai", MAX_TEXT);
        file("retry/endless.rhai", MAX_TEXT + 1);
        file("alerts.toml", MAX_TEXT + 1);
        symlink("/dev/zero", dir.path().join("retry/zero.rhai")).unwrap();
        symlink("long.rhai", dir.path().join("retry/linked.rhai")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(dir.path().join("retry/pipe.rhai")).status();
        assert!(made.unwrap().success());
        let scan = scan(dir.path(), |_, _| false).unwrap();
        let told = |purpose: &str| scan[purpose][0].content.as_ref().err().cloned().unwrap_or_default();
        assert_eq!([told("retry/large"), told("retry/long"), told("retry/linked")], [""; 3]);
        assert_eq!(told("retry/huge"), "expected at most 64 MiB; a policy is not so large");
        for text in ["retry/endless", RULES] {
            assert_eq!(told(text), "expected at most 1 MiB; a policy is not so large", "{text}");
        }
        for other in ["retry/zero", "retry/pipe"] {
            assert_eq!(told(other), "expected a regular file", "{other}");
        }
    }

    #[test]
    fn only_policies_are_read() {
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
        let found: Vec<_> = scan
            .iter()
            .map(|(purpose, found)| {
                let paths: Vec<_> = found.iter().map(|found| found.path.as_str()).collect();
                format!("{purpose}: {}", paths.join(" "))
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
        assert_eq!(found, expected);
    }
}
