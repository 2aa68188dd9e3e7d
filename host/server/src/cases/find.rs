//! Finds policies and their case files.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tidegate_policy::PolicyKind;

/// The suffix of case files.
const CASES_SUFFIX: &str = ".test.toml";
/// The suffixes of policies.
const POLICY_SUFFIXES: [&str; 2] = [".rhai", ".wasm"];

/// A policy with its case file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TestedPolicy {
    /// The policy, or `alerts.toml`.
    pub policy: PathBuf,
    /// The case file.
    pub cases: PathBuf,
    /// The kind of the policy, or `None` for `alerts.toml`.
    pub kind: Option<PolicyKind>,
}

impl TestedPolicy {
    /// Returns the platform, which is the first part of the file name.
    #[must_use]
    pub fn platform(&self) -> String {
        let name = self.policy.file_name().unwrap_or_default().to_string_lossy();
        name.split('.').next().unwrap_or_default().to_owned()
    }

    /// Returns the only platform whose calls use the policy. Default policies and alert conditions have none.
    #[must_use]
    pub fn only_platform(&self) -> Option<String> {
        let is_of_one = matches!(self.kind, Some(PolicyKind::Retry | PolicyKind::Admit));
        Some(self.platform()).filter(|name| is_of_one && name != "default")
    }
}

/// Returns the policies of a directory that have cases, and the paths of those that have none.
///
/// # Errors
/// Returns an error if the directory cannot be read.
pub fn find(dir: &Path) -> io::Result<(Vec<TestedPolicy>, Vec<PathBuf>)> {
    let (mut tested, mut untested) = (BTreeSet::new(), vec![]);
    let mut add = |tested: &mut BTreeSet<TestedPolicy>, policy: PathBuf, cases: PathBuf, kind| {
        if cases.is_file() {
            tested.insert(TestedPolicy { policy, cases, kind });
        } else {
            untested.push(policy);
        }
    };
    let rules = dir.join("alerts.toml");
    fs::read_dir(dir)?;
    if rules.is_file() {
        add(&mut tested, rules, dir.join("alerts.test.toml"), None);
    }
    for &kind in PolicyKind::ALL {
        let folder = dir.join(kind.folder());
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let names: BTreeSet<_> = names.filter(|name| !name.starts_with(['.', '#'])).collect();
        for name in names.iter().filter(|name| POLICY_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))) {
            // A candidate is tested with the cases of the policy that it is a candidate for.
            let stem = name.split('.').next().unwrap_or_default();
            add(&mut tested, folder.join(name), folder.join(format!("{stem}{CASES_SUFFIX}")), Some(kind));
        }
        // Cases without a policy become an error when they run, so that a missing policy is not overlooked.
        for stem in names.iter().filter_map(|name| name.strip_suffix(CASES_SUFFIX)) {
            let cases = folder.join(format!("{stem}{CASES_SUFFIX}"));
            if !tested.iter().any(|tested: &TestedPolicy| tested.cases == cases) {
                tested.insert(TestedPolicy { policy: folder.join(format!("{stem}.rhai")), cases, kind: Some(kind) });
            }
        }
    }
    Ok((tested.into_iter().collect(), untested))
}

impl TestedPolicy {
    /// Returns the policies that a path selects: the policy itself, or all policies that use this case file.
    ///
    /// # Errors
    /// Returns an error message if there is no such policy, or if it has no cases.
    pub fn from_file(file: &Path) -> Result<Vec<Self>, String> {
        let path = std::path::absolute(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let folder = path.parent().unwrap_or(&path);
        let dir = match PolicyKind::from_path(&path) {
            Some(_) => folder.parent().unwrap_or(folder),
            None => folder,
        };
        if !path.exists() {
            return Err(format!("{}: no such file or directory", file.display()));
        }
        let (tested, untested) = find(dir).map_err(|error| format!("{}: {error}", file.display()))?;
        if untested.contains(&path) {
            return Err(format!(
                "{}: the policy has no cases; write them to {}",
                file.display(),
                cases_file(file).display()
            ));
        }
        let selected: Vec<_> =
            tested.into_iter().filter(|tested| tested.policy == path || tested.cases == path).collect();
        let unknown = || {
            format!("{}: expected a policy in a folder named retry, alerts or admit, or a case file", file.display())
        };
        if selected.is_empty() { Err(unknown()) } else { Ok(selected) }
    }
}

/// Returns the path of a policy's case file.
fn cases_file(policy: &Path) -> PathBuf {
    let name = policy.file_name().unwrap_or_default().to_string_lossy();
    policy.with_file_name(format!("{}{CASES_SUFFIX}", name.split('.').next().unwrap_or_default()))
}
