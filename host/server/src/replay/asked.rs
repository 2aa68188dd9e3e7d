//! Who is asked again: the policy in force, and the candidates for its place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tidegate::core::config::PoliciesConfig;
use tidegate::policy::PolicyKind;

use super::line::RULES;
use crate::cases::Asked;

/// What stands in the name of a candidate.
const CANDIDATE: &str = ".candidate";
/// What the names of policies end in.
const ENDINGS: [&str; 2] = ["rhai", "wasm"];

/// The policies that a log is read through.
pub struct Stage {
    config: PoliciesConfig,
    /// Files by what they stand for, such as `retry/taobao`.
    candidates: BTreeMap<String, Vec<PathBuf>>,
}

/// One that is asked.
pub struct Player {
    /// Its name in tables.
    pub name: String,
    /// Itself; `None` where there is no such policy now.
    pub asked: Option<Asked>,
}

impl Stage {
    /// The policies of the configured directory with these candidates.
    ///
    /// # Errors
    /// A file whose place does not say what it stands for.
    pub fn new(config: &PoliciesConfig, named: &[PathBuf]) -> Result<Self, String> {
        let mut candidates: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for file in named {
            candidates.entry(stands_for(file)?).or_default().push(file.clone());
        }
        Ok(Self { config: config.clone(), candidates })
    }

    /// The candidates that were named, with what they stand for.
    pub fn named(&self) -> impl Iterator<Item = (&String, &PathBuf)> {
        self.candidates.iter().flat_map(|(place, files)| files.iter().map(move |file| (place, file)))
    }

    /// Who is asked about a line of this policy: the one in force, then the candidates.
    ///
    /// # Errors
    /// A policy that cannot be loaded: every problem as `file:line:column: message`, one a line.
    pub fn cast(&self, policy: &str) -> Result<Vec<Player>, String> {
        let dir = &self.config.dir;
        let live = live(dir, policy);
        let asked = live.as_deref().map(|live| self.load(&dir.join(live))).transpose()?;
        let mut cast = vec![Player { name: live.unwrap_or_else(|| policy.to_owned()), asked }];
        if let Some(named) = self.candidates.get(place(policy)) {
            for file in named {
                cast.push(Player { name: file.display().to_string(), asked: Some(self.load(file)?) });
            }
            return Ok(cast);
        }
        if policy.starts_with(PolicyKind::Retry.folder()) {
            let beside = ENDINGS.map(|ending| format!("{}{CANDIDATE}.{ending}", place(policy)));
            for name in beside.into_iter().filter(|name| dir.join(name).is_file()) {
                let asked = Some(self.load(&dir.join(&name))?);
                cast.push(Player { name, asked });
            }
        }
        Ok(cast)
    }

    fn load(&self, file: &Path) -> Result<Asked, String> {
        // Rules are in no folder of a kind, whatever their directory is called.
        let rules = file.file_name().is_some_and(|name| name == RULES);
        let kind = if rules { None } else { PolicyKind::of(&absolute(file)?) };
        Asked::load(file, kind, &self.config)
    }
}

/// The file as it was recorded, else the one of the other language.
fn live(dir: &Path, policy: &str) -> Option<String> {
    let other = ENDINGS.map(|ending| format!("{}.{ending}", place(policy)));
    let names = std::iter::once(policy.to_owned())
        .chain(if policy == RULES { None } else { Some(other) }.into_iter().flatten());
    names.into_iter().find(|name| dir.join(name).is_file())
}

/// A policy's path without its ending.
fn place(policy: &str) -> &str {
    if policy == RULES { policy } else { policy.rsplit_once('.').map_or(policy, |(place, _)| place) }
}

/// What a candidate stands for, by its folder and its name.
fn stands_for(file: &Path) -> Result<String, String> {
    let full = absolute(file)?;
    if !full.is_file() {
        return Err(format!("{}: no such file", file.display()));
    }
    let name = full.file_name().unwrap_or_default().to_string_lossy();
    if name == RULES {
        return Ok(RULES.to_owned());
    }
    let kind = PolicyKind::of(&full).filter(|_| ENDINGS.iter().any(|ending| name.ends_with(&format!(".{ending}"))));
    let kind = kind.ok_or_else(|| {
        let expected =
            "expected a policy in a folder retry, alerts or admit, such as new/retry/jd.rhai, or an alerts.toml";
        format!("{}: {expected}", file.display())
    })?;
    Ok(format!("{}/{}", kind.folder(), place(&name).trim_end_matches(CANDIDATE)))
}

fn absolute(file: &Path) -> Result<PathBuf, String> {
    std::path::absolute(file).map_err(|error| format!("{}: {error}", file.display()))
}
