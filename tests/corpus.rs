//! Reads the hostile policies in `tests/hostile`. Each file states its expected outcome.
//!
//! The first comment lines of a file are its header: a description, and lines of `key: value`.
//!
//! - `expect: fault KIND`: the policy loads and returns a verdict for normal input, and an attack ends as a fault of
//!   this kind. `deadline or memory` allows two kinds.
//! - `expect: rejected "TEXT"`: the policy does not load, and the error contains this text.
//! - `expect: verdict`: the host truncates or ignores what the policy does, and uses its verdict.
//! - `kind: alerts` or `kind: admit`: the file is loaded as an alert condition or as an admission policy. The default
//!   is the kind of the shell, or else a retry policy.
//! - `shell: retry`: the file is the core module of a component. It replaces `{guest}` in `shells/retry.wat`.
//! - `cut: 100`: the host gets only the first 100 bytes of the file, or of the component.
//!
//! `<<1000 times (>>` stands for a thousand `(`, so that the file of a large policy is short.
//!
//! An attack is one of these inputs: a failure with the message `attack`, the sub-code `assault` and attempt 2; a
//! snapshot of 666 calls with an error rate of 0.6; or a request with the method `ATTACK`.

use std::fs;
use std::path::{Path, PathBuf};

use tidegate_policy::PolicyKind;

/// A policy of the corpus.
#[derive(Debug)]
pub struct HostilePolicy {
    /// The name of the file.
    pub name: String,
    /// The kind of policy as which it is loaded.
    pub kind: PolicyKind,
    /// The expected outcome.
    pub expected: ExpectedOutcome,
    /// The script or component that the host gets.
    pub bytes: Vec<u8>,
}

/// The expected outcome of a hostile policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedOutcome {
    /// An attack ends as a fault of one of these kinds.
    Fault(Vec<String>),
    /// The policy does not load, and the error contains this text.
    Rejected(String),
    /// An attack returns a verdict.
    Verdict,
}

/// Returns the directory of the corpus.
#[must_use]
pub fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("hostile")
}

/// Returns the files of the corpus, sorted by name.
///
/// # Errors
/// Returns a message if the directory cannot be read.
pub fn files() -> Result<Vec<PathBuf>, String> {
    let io_error = |error: std::io::Error| format!("{}: {error}", dir().display());
    let entries: Result<Vec<_>, _> = fs::read_dir(dir()).map_err(io_error)?.map(|entry| Ok(entry?.path())).collect();
    let mut files = entries.map_err(io_error)?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rhai" || extension == "wat"));
    files.sort();
    Ok(files)
}

impl HostilePolicy {
    /// Reads a file of the corpus.
    ///
    /// # Errors
    /// Returns a message if the file cannot be read, or if its header or its text is invalid.
    pub fn read(path: &Path) -> Result<Self, String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let with_name = |message: String| format!("{name}: {message}");
        let raw = fs::read(path).map_err(|error| with_name(error.to_string()))?;
        let header = Header::parse(&String::from_utf8_lossy(&raw));
        let shell = header.value("shell");
        let kind = match (header.value("kind"), shell) {
            (Some("alerts"), _) => PolicyKind::Alert,
            (None, Some(shell)) if shell.starts_with("alert") => PolicyKind::Alert,
            (Some("admit"), _) => PolicyKind::Admit,
            (None, Some(shell)) if shell.starts_with("admit") => PolicyKind::Admit,
            (None | Some("retry"), _) => PolicyKind::Retry,
            (Some(other), _) => {
                return Err(with_name(format!("unknown kind `{other}`; expected `retry`, `alerts` or `admit`")));
            }
        };
        let expected = header.value("expect").and_then(ExpectedOutcome::parse).ok_or_else(|| {
            with_name("expected a line `expect: fault KIND`, `expect: rejected \"TEXT\"` or `expect: verdict`".into())
        })?;
        let mut bytes = expand_repetitions(&raw);
        if name.ends_with(".wat") {
            let text = String::from_utf8(bytes).map_err(|error| with_name(error.to_string()))?;
            bytes = wat::parse_str(insert_into_shell(&text, shell)?).map_err(|error| with_name(error.to_string()))?;
        }
        if let Some(length) = header.value("cut") {
            let error = |_| with_name(format!("expected a number of bytes after `cut:`, found `{length}`"));
            bytes.truncate(length.parse().map_err(error)?);
        }
        Ok(Self { name, kind, expected, bytes })
    }

    /// Returns the file name under which the host loads the policy.
    #[must_use]
    pub fn loaded_name(&self) -> &'static str {
        if self.name.ends_with(".wat") { "attacker.wasm" } else { "attacker.rhai" }
    }
}

impl ExpectedOutcome {
    fn parse(text: &str) -> Option<Self> {
        match text.split_once(' ') {
            None if text == "verdict" => Some(Self::Verdict),
            Some(("fault", kinds)) => Some(Self::Fault(kinds.split(" or ").map(str::to_owned).collect())),
            Some(("rejected", text)) => Some(Self::Rejected(text.strip_prefix('"')?.strip_suffix('"')?.to_owned())),
            _ => None,
        }
    }

    /// Whether the deadline is the only expected fault.
    #[must_use]
    pub fn is_deadline(&self) -> bool {
        matches!(self, Self::Fault(kinds) if kinds == &["deadline"])
    }
}

/// The `key: value` lines in the first comments of a file.
struct Header(Vec<(String, String)>);

impl Header {
    fn parse(text: &str) -> Self {
        let comments = text.lines().map_while(|line| line.strip_prefix("//").or_else(|| line.strip_prefix(";;")));
        let pairs = comments.filter_map(|line| line.trim().split_once(": "));
        Self(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    fn value(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }
}

/// Inserts the core module into its shell, if it has one.
fn insert_into_shell(guest: &str, shell: Option<&str>) -> Result<String, String> {
    let Some(shell) = shell else { return Ok(guest.to_owned()) };
    let path = dir().join("shells").join(shell).with_extension("wat");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text.replace("{guest}", guest))
}

/// Replaces every `<<N times …>>` by the repeated text.
fn expand_repetitions(mut text: &[u8]) -> Vec<u8> {
    let find = |text: &[u8], pattern: &[u8]| text.windows(pattern.len()).position(|window| window == pattern);
    let mut expanded = vec![];
    while let Some(start) = find(text, b"<<") {
        let (before, rest) = text.split_at(start);
        let repeated = find(rest, b" times ").zip(find(rest, b">>")).and_then(|(number_end, end)| {
            let count: usize = std::str::from_utf8(rest.get(2..number_end)?).ok()?.parse().ok()?;
            Some((rest.get(number_end + 7..end)?.repeat(count), rest.get(end + 2..)?))
        });
        expanded.extend_from_slice(before);
        match repeated {
            Some((repeated, after)) => {
                expanded.extend(repeated);
                text = after;
            }
            None => {
                expanded.extend_from_slice(b"<<");
                text = rest.get(2..).unwrap_or_default();
            }
        }
    }
    expanded.extend_from_slice(text);
    expanded
}
