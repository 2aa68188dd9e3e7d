//! Loads a single policy without a registry.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tidegate_core::config::PoliciesConfig;
use tidegate_core::{AdmitPolicy, AlertPolicy, RetryPolicy};

use crate::engines::{Engines, PolicySource};

/// A policy that was loaded from one file.
pub enum LoadedPolicy {
    /// A retry policy.
    Retry(Arc<dyn RetryPolicy>),
    /// An alert condition.
    Alert(Arc<dyn AlertPolicy>),
    /// An admission policy.
    Admit(Arc<dyn AdmitPolicy>),
}

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

/// Loads one policy from a file. `kind` is required for files outside of `retry/`, `alerts/` and `admit/`.
///
/// # Errors
/// Returns every error as `file:line:column: message`, one per line.
pub fn load_one(path: &Path, kind: Option<PolicyKind>, config: &PoliciesConfig) -> Result<LoadedPolicy, String> {
    let file = path.display().to_string();
    let bytes = fs::read(path).map_err(|error| format!("{file}: {error}"))?;
    let kind = kind.or_else(|| PolicyKind::of(path));
    let kind = kind.ok_or_else(|| {
        format!(
            "{file}: unknown policy kind; expected a file in `retry/`, `alerts/` or `admit/`, or an explicit `--kind`"
        )
    })?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let path_in_dir = format!("{}/{name}", kind.folder());
    let source = PolicySource { path: &path_in_dir, file: &file, bytes: &bytes, hash: None };
    Engines::new(config).load(kind, &source, &config.resolve(&path_in_dir))
}
