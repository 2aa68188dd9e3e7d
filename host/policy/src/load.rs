//! Loads a single policy without a registry.

use std::fs;
use std::path::Path;

use tidegate_core::config::PoliciesConfig;

use crate::engines::{Engines, PolicySource};
use crate::error::Error;
use crate::loaded::LoadedPolicy;
use crate::paths::PolicyKind;

/// Loads one policy from a file. `kind` is required for files outside of `retry/`, `alerts/` and `admit/`.
///
/// # Errors
/// Returns an error that describes every mistake as `file:line:column: message`, one per line.
pub fn load_one(path: &Path, kind: Option<PolicyKind>, config: &PoliciesConfig) -> Result<LoadedPolicy, Error> {
    let file = path.display().to_string();
    let bytes = fs::read(path).map_err(|error| Error::unreadable(&file, error))?;
    let kind = kind.or_else(|| PolicyKind::of(path));
    let kind = kind.ok_or_else(|| {
        Error::rejected(format!(
            "{file}: unknown policy kind; expected a file in `retry/`, `alerts/` or `admit/`, or an explicit `--kind`"
        ))
    })?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let path_in_dir = format!("{}/{name}", kind.folder());
    let source = PolicySource { path: &path_in_dir, file: &file, bytes: &bytes, hash: None };
    Engines::new(config).load(kind, &source, &config.resolve(&path_in_dir)).map_err(Error::rejected)
}
