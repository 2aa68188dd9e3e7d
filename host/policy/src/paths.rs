//! What the path of a file in the policy directory says about it: what the policy decides, its language, and whether it
//! is a candidate.

use std::path::Path;

/// The file of the alert rules.
pub const RULES: &str = "alerts.toml";
/// The part of a file name, before the extension, that marks a candidate. A candidate runs beside the active policy and
/// only reports its differences.
pub const CANDIDATE: &str = ".candidate";

/// What a policy decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyKind {
    /// Whether to retry a failed call.
    Retry,
    /// Whether an alert condition is met.
    Alert,
    /// Whether to send a request, from which limits it takes tokens, and how many.
    Admit,
}

impl PolicyKind {
    /// Returns the directory of the policies of this kind.
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Alert => "alerts",
            Self::Admit => "admit",
        }
    }

    /// Returns the kind of a file by its directory: `retry`, `alerts` or `admit`.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.parent()?.file_name()?.to_str()? {
            "retry" => Some(Self::Retry),
            "alerts" => Some(Self::Alert),
            "admit" => Some(Self::Admit),
            _ => None,
        }
    }
}

/// The language of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// A Rhai script.
    Rhai,
    /// A Wasm component.
    Wasm,
}

impl Language {
    /// Returns the language of a file by its extension.
    pub fn of(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1 {
            "rhai" => Some(Self::Rhai),
            "wasm" => Some(Self::Wasm),
            _ => None,
        }
    }

    /// Returns the name that the policy status uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rhai => "rhai",
            Self::Wasm => "wasm",
        }
    }
}

/// Returns whether a file is a candidate.
pub fn is_candidate(path: &str) -> bool {
    Path::new(path).file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with(CANDIDATE))
}
