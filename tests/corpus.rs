//! The hostile policies of `tests/hostile`: readable files that say themselves what becomes of them.
//!
//! The first comments of a file are its head: what it does, and lines of `key: value`.
//!
//! - `expect: fault KIND` – it loads and answers in peace; attacked, it ends as a fault of that kind (or that: `deadline
//!   or memory`). `expect: refused "WORDS"` – it does not load, and these words say why. `expect: answer` – what it does
//!   is cut to measure, and its verdict stands.
//! - `kind: alerts` or `kind: admit` – what it is loaded as, where it is no classifier.
//! - `shell: retry` – it is the core of a component whose rest stands in `shells/retry.wat`, in place of `{guest}`.
//! - `cut: 100` – only so many bytes of the file, or of the component, are given to the host.
//!
//! `<<1000 times (>>` stands for a thousand `(`: what is only large need not be long.
//!
//! A policy is attacked by a call whose message is `attack`, whose sub code is `assault` and whose attempt is the
//! second, by a snapshot of 666 calls
//! with an error rate of 0.6, or by a request of the method `ATTACK`.

use std::fs;
use std::path::{Path, PathBuf};

use tidegate::policy::PolicyKind;

/// One file of the corpus.
pub struct Hostile {
    /// The file's name.
    pub name: String,
    /// What it is loaded as.
    pub kind: PolicyKind,
    /// What becomes of it.
    pub expected: Expected,
    /// What the host is given.
    pub bytes: Vec<u8>,
}

/// What becomes of a hostile policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It ends as a fault of one of these kinds.
    Fault(Vec<String>),
    /// It is not loaded, and the reason has these words.
    Refused(String),
    /// Its verdict stands.
    Answer,
}

/// The corpus itself.
#[must_use]
pub fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("hostile")
}

/// The files of the corpus, by name.
///
/// # Errors
/// One sentence where the directory cannot be read.
pub fn files() -> Result<Vec<PathBuf>, String> {
    let told = |error: std::io::Error| format!("{}: {error}", dir().display());
    let entries: Result<Vec<_>, _> = fs::read_dir(dir()).map_err(told)?.map(|entry| Ok(entry?.path())).collect();
    let mut files = entries.map_err(told)?;
    files.retain(|path| path.extension().is_some_and(|ending| ending == "rhai" || ending == "wat"));
    files.sort();
    Ok(files)
}

impl Hostile {
    /// Reads a file.
    ///
    /// # Errors
    /// One sentence that says what is wrong with its head or its text.
    pub fn read(path: &Path) -> Result<Self, String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let told = |message: String| format!("{name}: {message}");
        let raw = fs::read(path).map_err(|error| told(error.to_string()))?;
        let head = Head::of(&String::from_utf8_lossy(&raw));
        let shell = head.value("shell");
        let kind = match (head.value("kind"), shell) {
            (Some("alerts"), _) => PolicyKind::Alert,
            (None, Some(shell)) if shell.starts_with("alert") => PolicyKind::Alert,
            (Some("admit"), _) => PolicyKind::Admit,
            (None, Some(shell)) if shell.starts_with("admit") => PolicyKind::Admit,
            (None | Some("retry"), _) => PolicyKind::Retry,
            (Some(other), _) => return Err(told(format!("no such kind `{other}`"))),
        };
        let expected = head.value("expect").and_then(Expected::of);
        let expected =
            expected.ok_or_else(|| told("expected a line `expect: fault KIND | refused \"…\" | answer`".into()))?;
        let mut bytes = expanded(&raw);
        if name.ends_with(".wat") {
            let text = String::from_utf8(bytes).map_err(|error| told(error.to_string()))?;
            bytes = wat::parse_str(shelled(&text, shell)?).map_err(|error| told(error.to_string()))?;
        }
        if let Some(most) = head.value("cut") {
            bytes.truncate(most.parse().map_err(|_| told(format!("`cut: {most}` is no number")))?);
        }
        Ok(Self { name, kind, expected, bytes })
    }

    /// The name of the file that the host is given.
    #[must_use]
    pub fn victim(&self) -> &'static str {
        if self.name.ends_with(".wat") { "victim.wasm" } else { "victim.rhai" }
    }
}

impl Expected {
    fn of(text: &str) -> Option<Self> {
        match text.split_once(' ') {
            None if text == "answer" => Some(Self::Answer),
            Some(("fault", kinds)) => Some(Self::Fault(kinds.split(" or ").map(str::to_owned).collect())),
            Some(("refused", words)) => Some(Self::Refused(words.strip_prefix('"')?.strip_suffix('"')?.to_owned())),
            _ => None,
        }
    }

    /// Whether it is told to end by its deadline and nothing else.
    #[must_use]
    pub fn is_deadline(&self) -> bool {
        matches!(self, Self::Fault(kinds) if kinds == &["deadline"])
    }
}

/// The `key: value` lines of the first comments.
struct Head(Vec<(String, String)>);

impl Head {
    fn of(text: &str) -> Self {
        let comments = text.lines().map_while(|line| line.strip_prefix("//").or_else(|| line.strip_prefix(";;")));
        let pairs = comments.filter_map(|line| line.trim().split_once(": "));
        Self(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    fn value(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }
}

/// The guest in its shell, if it has one.
fn shelled(guest: &str, shell: Option<&str>) -> Result<String, String> {
    let Some(shell) = shell else { return Ok(guest.to_owned()) };
    let path = dir().join("shells").join(shell).with_extension("wat");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text.replace("{guest}", guest))
}

/// The text with every `<<N times …>>` written out.
fn expanded(mut text: &[u8]) -> Vec<u8> {
    let find = |text: &[u8], what: &[u8]| text.windows(what.len()).position(|here| here == what);
    let mut whole = vec![];
    while let Some(begins) = find(text, b"<<") {
        let (before, rest) = text.split_at(begins);
        let repeated = find(rest, b" times ").zip(find(rest, b">>")).and_then(|(number, ends)| {
            let count: usize = std::str::from_utf8(rest.get(2..number)?).ok()?.parse().ok()?;
            Some((rest.get(number + 7..ends)?.repeat(count), rest.get(ends + 2..)?))
        });
        whole.extend_from_slice(before);
        match repeated {
            Some((repeated, after)) => {
                whole.extend(repeated);
                text = after;
            }
            None => {
                whole.extend_from_slice(b"<<");
                text = rest.get(2..).unwrap_or_default();
            }
        }
    }
    whole.extend_from_slice(text);
    whole
}
