//! One policy on its own, without a registry.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tidegate_core::config::PoliciesConfig;
use tidegate_core::{AlertPolicy, RetryPolicy};

use crate::engines::{Engines, Language};

/// A policy that was loaded alone.
pub enum Loaded {
    /// A retry classifier.
    Retry(Arc<dyn RetryPolicy>),
    /// An alert condition.
    Alert(Arc<dyn AlertPolicy>),
}

/// What a policy decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// Whether a failed call is worth another attempt.
    Retry,
    /// Whether an alert condition holds.
    Alert,
}

impl PolicyKind {
    /// The kind by the folder that a file lies in: `retry` or `alerts`.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.parent()?.file_name()?.to_str()? {
            "retry" => Some(Self::Retry),
            "alerts" => Some(Self::Alert),
            _ => None,
        }
    }
}

/// Loads one policy from a file; `kind` is for files that lie elsewhere than in `retry/` or `alerts/`.
///
/// # Errors
/// Every problem as `file:line:column: message`, one a line.
pub fn load_one(path: &Path, kind: Option<PolicyKind>, config: &PoliciesConfig) -> Result<Loaded, String> {
    let file = path.display().to_string();
    let language = Language::of(&file).ok_or_else(|| format!("{file}: expected a name ending in .rhai or .wasm"))?;
    let kind = kind.or_else(|| PolicyKind::of(path));
    let kind = kind.ok_or_else(|| format!("{file}: say whether it is a retry or an alert policy"))?;
    let bytes = fs::read(path).map_err(|error| format!("{file}: {error}"))?;
    let engines = Engines::new(config);
    match kind {
        PolicyKind::Retry => engines.retry(language, &file, &bytes).map(Loaded::Retry),
        PolicyKind::Alert => engines.alert(language, &file, &bytes).map(Loaded::Alert),
    }
}
