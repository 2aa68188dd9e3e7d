//! One policy on its own, without a registry.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tidegate_core::config::PoliciesConfig;
use tidegate_core::{AdmitPolicy, AlertPolicy, RetryPolicy};

use crate::engines::{Engines, Source};

/// A policy that was loaded alone.
pub enum Loaded {
    /// A retry classifier.
    Retry(Arc<dyn RetryPolicy>),
    /// An alert condition.
    Alert(Arc<dyn AlertPolicy>),
    /// An admission policy.
    Admit(Arc<dyn AdmitPolicy>),
}

/// What a policy decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyKind {
    /// Whether a failed call is worth another attempt.
    Retry,
    /// Whether an alert condition holds.
    Alert,
    /// Whether and how a request goes.
    Admit,
}

impl PolicyKind {
    /// The folder that its policies lie in.
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Alert => "alerts",
            Self::Admit => "admit",
        }
    }

    /// The kind by the folder that a file lies in: `retry`, `alerts` or `admit`.
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

/// Loads one policy from a file; `kind` is for files that lie elsewhere than in `retry/`, `alerts/` or `admit/`.
///
/// # Errors
/// Every problem as `file:line:column: message`, one a line.
pub fn load_one(path: &Path, kind: Option<PolicyKind>, config: &PoliciesConfig) -> Result<Loaded, String> {
    let file = path.display().to_string();
    let kind = kind.or_else(|| PolicyKind::of(path));
    let kind = kind.ok_or_else(|| format!("{file}: say whether it is a retry, an alert or an admit policy"))?;
    let bytes = fs::read(path).map_err(|error| format!("{file}: {error}"))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let within = format!("{}/{name}", kind.folder());
    let source = Source { path: &within, file: &file, bytes: &bytes, hash: None };
    Engines::new(config).load(kind, &source, &config.terms(&within))
}
