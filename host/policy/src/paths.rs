//! What the path of a file in the policy directory says about it: what the policy decides, its language, and whether it
//! is a candidate.

use std::path::Path;

use tidegate_core::text_enum;

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

text_enum!(PolicyKind { Retry => "retry", Alert => "alert", Admit => "admit" });

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
    pub fn from_path(path: &Path) -> Option<Self> {
        let folder = path.parent()?.file_name()?.to_str()?;
        Self::ALL.iter().copied().find(|kind| kind.folder() == folder)
    }
}

/// The language of a policy file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PolicyLanguage {
    /// A Rhai script.
    Rhai,
    /// A Wasm component.
    Wasm,
    /// The alert rules in `alerts.toml`.
    Toml,
}

text_enum!(PolicyLanguage { Rhai => "rhai", Wasm => "wasm", Toml => "toml" });

impl PolicyLanguage {
    /// Returns the language of a file by its extension.
    #[must_use]
    pub fn from_path(path: &Path) -> Option<Self> {
        path.extension()?.to_str()?.parse().ok()
    }
}

/// Returns whether a file is a candidate.
pub fn is_candidate(path: &str) -> bool {
    Path::new(path).file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with(CANDIDATE))
}
