//! Loads the policies that a log is replayed with: the active policies and their candidates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tidegate_core::config::PoliciesConfig;
use tidegate_policy::PolicyKind;

use super::line::RULES_FILE;
use crate::cases::PolicyUnderTest;

/// The suffix of a candidate's name, before the file extension.
const CANDIDATE_SUFFIX: &str = ".candidate";
/// The file extensions of policies.
const EXTENSIONS: [&str; 2] = ["rhai", "wasm"];

/// The policies that a log is replayed with.
pub struct ReplayPolicies {
    config: PoliciesConfig,
    /// The candidate files by the policy that they are for, such as `retry/taobao`.
    candidates: BTreeMap<String, Vec<PathBuf>>,
}

/// A policy that lines are evaluated with.
pub struct ReplayPolicy {
    /// The name in tables.
    pub name: String,
    /// The loaded policy, or `None` if it no longer exists.
    pub policy: Option<PolicyUnderTest>,
}

impl ReplayPolicies {
    /// Selects the policies of the configured directory and these candidate files.
    ///
    /// # Errors
    /// Returns an error if a candidate does not exist, or if its path does not say which policy it is for.
    pub fn new(config: &PoliciesConfig, files: &[PathBuf]) -> Result<Self, String> {
        let mut candidates: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for file in files {
            candidates.entry(candidate_for(file)?).or_default().push(file.clone());
        }
        Ok(Self { config: config.clone(), candidates })
    }

    /// Returns the candidate files, each with the policy that it is for.
    pub fn candidates(&self) -> impl Iterator<Item = (&String, &PathBuf)> {
        self.candidates.iter().flat_map(|(policy, files)| files.iter().map(move |file| (policy, file)))
    }

    /// Loads the policies for the lines of one policy: the active policy, then its candidates.
    ///
    /// # Errors
    /// Returns all errors of a policy that cannot be loaded, as `file:line:column: message`, one per line.
    pub fn load(&self, policy: &str) -> Result<Vec<ReplayPolicy>, String> {
        let dir = &self.config.dir;
        let active = active_file(dir, policy);
        let loaded = active.as_deref().map(|active| self.load_file(&dir.join(active))).transpose()?;
        let mut policies = vec![ReplayPolicy { name: active.unwrap_or_else(|| policy.to_owned()), policy: loaded }];
        if let Some(files) = self.candidates.get(without_extension(policy)) {
            for file in files {
                policies.push(ReplayPolicy { name: file.display().to_string(), policy: Some(self.load_file(file)?) });
            }
            return Ok(policies);
        }
        if policy.starts_with(PolicyKind::Retry.folder()) {
            let stem = without_extension(policy);
            let names = EXTENSIONS.map(|extension| format!("{stem}{CANDIDATE_SUFFIX}.{extension}"));
            for name in names.into_iter().filter(|name| dir.join(name).is_file()) {
                let policy = Some(self.load_file(&dir.join(&name))?);
                policies.push(ReplayPolicy { name, policy });
            }
        }
        Ok(policies)
    }

    fn load_file(&self, file: &Path) -> Result<PolicyUnderTest, String> {
        // The rules file has no kind, even in a directory that is named like one.
        let is_rules = file.file_name().is_some_and(|name| name == RULES_FILE);
        let kind = if is_rules { None } else { PolicyKind::from_path(&absolute(file)?) };
        PolicyUnderTest::load(file, kind, &self.config)
    }
}

/// Returns the recorded file if it exists, or else the file of that name with another extension.
fn active_file(dir: &Path, policy: &str) -> Option<String> {
    let others = EXTENSIONS.map(|extension| format!("{}.{extension}", without_extension(policy)));
    let names = std::iter::once(policy.to_owned())
        .chain(if policy == RULES_FILE { None } else { Some(others) }.into_iter().flatten());
    names.into_iter().find(|name| dir.join(name).is_file())
}

/// Returns a policy's path without its file extension. The rules file keeps its extension.
fn without_extension(policy: &str) -> &str {
    if policy == RULES_FILE { policy } else { policy.rsplit_once('.').map_or(policy, |(stem, _)| stem) }
}

/// Returns the policy that a candidate is for, such as `retry/taobao`, from its folder and name.
fn candidate_for(file: &Path) -> Result<String, String> {
    let full = absolute(file)?;
    if !full.is_file() {
        return Err(format!("{}: no such file or directory", file.display()));
    }
    let name = full.file_name().unwrap_or_default().to_string_lossy();
    if name == RULES_FILE {
        return Ok(RULES_FILE.to_owned());
    }
    let is_policy = EXTENSIONS.iter().any(|extension| name.ends_with(&format!(".{extension}")));
    let kind = PolicyKind::from_path(&full).filter(|_| is_policy);
    let kind = kind.ok_or_else(|| {
        let expected =
            "expected a policy in a folder named retry, alerts or admit, such as new/retry/jd.rhai, or an alerts.toml";
        format!("{}: {expected}", file.display())
    })?;
    Ok(format!("{}/{}", kind.folder(), without_extension(&name).trim_end_matches(CANDIDATE_SUFFIX)))
}

fn absolute(file: &Path) -> Result<PathBuf, String> {
    std::path::absolute(file).map_err(|error| format!("{}: {error}", file.display()))
}
