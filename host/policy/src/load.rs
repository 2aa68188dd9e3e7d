//! Loads a single policy without a registry.

use std::fs;
use std::path::Path;

use tidegate_core::config::PoliciesConfig;

use crate::engines::{Engines, PolicySource};
use crate::error::Error;
use crate::loaded::LoadedPolicy;
use crate::paths::PolicyKind;

/// Loads one policy from a file. `kind` is required for a file outside of `retry/`, `alerts/` and `admit/`.
///
/// # Errors
/// Returns an error that describes every mistake as `file:line:column: message`, one per line.
pub fn load_policy(path: &Path, kind: Option<PolicyKind>, config: &PoliciesConfig) -> Result<LoadedPolicy, Error> {
    let file = path.display().to_string();
    let bytes = fs::read(path).map_err(|error| Error::unreadable(&file, error))?;
    let kind = kind.or_else(|| PolicyKind::from_path(path)).ok_or_else(|| {
        let message = "unknown policy kind; expected a file in `retry/`, `alerts/` or `admit/`, or an explicit kind";
        Error::rejected(message).in_file(&file)
    })?;
    load_bytes(path, &bytes, kind, config)
}

/// Loads one policy from the bytes of a script or a component. The extension of `path` determines the language, its
/// file name selects the settings of the policy, and errors start with the path. The file need not exist.
///
/// ```
/// use std::path::Path;
/// use tidegate_core::config::Config;
/// use tidegate_policy::{PolicyKind, load_bytes};
///
/// let script = b"if status == 429 { retry(\"throttled\") } else { abstain() }";
/// let config = Config::default().policies;
/// let policy = load_bytes(Path::new("shop.rhai"), script, PolicyKind::Retry, &config)?;
/// assert_eq!(policy.kind(), PolicyKind::Retry);
/// let error = load_bytes(Path::new("shop.rhai"), b"retry(throttled)", PolicyKind::Retry, &config).unwrap_err();
/// assert!(error.to_string().starts_with("shop.rhai:1:7: unknown variable `throttled`"));
/// assert_eq!(error.diagnostics()[0].position.column, 7);
/// # Ok::<(), tidegate_policy::Error>(())
/// ```
///
/// # Errors
/// Returns an error that describes every mistake as `file:line:column: message`, one per line.
pub fn load_bytes(path: &Path, bytes: &[u8], kind: PolicyKind, config: &PoliciesConfig) -> Result<LoadedPolicy, Error> {
    let file = path.display().to_string();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let path_in_dir = format!("{}/{name}", kind.folder());
    let source = PolicySource { path: &path_in_dir, file: &file, bytes, hash: None };
    Engines::new(config).load(kind, &source, &config.resolve(&path_in_dir))
}
