//! Which policies have cases.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tidegate::policy::PolicyKind;

use super::KINDS;

/// What the names of case files end in.
const ENDING: &str = ".test.toml";
/// What the names of policies end in.
const POLICIES: [&str; 2] = [".rhai", ".wasm"];

/// A policy with its case file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tested {
    /// The policy, or `alerts.toml`.
    pub policy: PathBuf,
    /// Its cases.
    pub cases: PathBuf,
    /// What it decides; `None` for `alerts.toml`.
    pub kind: Option<PolicyKind>,
}

impl Tested {
    /// The platform, by the file's name.
    #[must_use]
    pub fn platform(&self) -> String {
        let name = self.policy.file_name().unwrap_or_default().to_string_lossy();
        name.split('.').next().unwrap_or_default().to_owned()
    }
}

/// The policies of a directory that have cases, and the paths of those that have none.
///
/// # Errors
/// Where the directory cannot be read.
pub fn find(dir: &Path) -> io::Result<(Vec<Tested>, Vec<PathBuf>)> {
    let (mut tested, mut untested) = (BTreeSet::new(), vec![]);
    let mut add = |tested: &mut BTreeSet<Tested>, policy: PathBuf, cases: PathBuf, kind| {
        if cases.is_file() {
            tested.insert(Tested { policy, cases, kind });
        } else {
            untested.push(policy);
        }
    };
    let rules = dir.join("alerts.toml");
    fs::read_dir(dir)?;
    if rules.is_file() {
        add(&mut tested, rules, dir.join("alerts.test.toml"), None);
    }
    for kind in KINDS {
        let folder = dir.join(kind.folder());
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let all: BTreeSet<_> = names.filter(|name| !name.starts_with(['.', '#'])).collect();
        for name in all.iter().filter(|name| POLICIES.iter().any(|ending| name.ends_with(ending))) {
            // A candidate must answer what the live one answers.
            let stem = name.split('.').next().unwrap_or_default();
            add(&mut tested, folder.join(name), folder.join(format!("{stem}{ENDING}")), Some(kind));
        }
        // Cases without a policy would never run: they are of one that is missing, which is told when it is loaded.
        for stem in all.iter().filter_map(|name| name.strip_suffix(ENDING)) {
            let cases = folder.join(format!("{stem}{ENDING}"));
            if !tested.iter().any(|one: &Tested| one.cases == cases) {
                tested.insert(Tested { policy: folder.join(format!("{stem}.rhai")), cases, kind: Some(kind) });
            }
        }
    }
    Ok((tested.into_iter().collect(), untested))
}

impl Tested {
    /// The policies that a file stands for: itself, or those whose cases it holds.
    ///
    /// # Errors
    /// One sentence where there is no such policy or it has no cases.
    pub fn of(file: &Path) -> Result<Vec<Self>, String> {
        let path = std::path::absolute(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let folder = path.parent().unwrap_or(&path);
        let dir = match PolicyKind::of(&path) {
            Some(_) => folder.parent().unwrap_or(folder),
            None => folder,
        };
        if !path.exists() {
            return Err(format!("{}: no such file or directory", file.display()));
        }
        let (tested, untested) = find(dir).map_err(|error| format!("{}: {error}", file.display()))?;
        if untested.contains(&path) {
            return Err(format!("{}: it has no cases; write them beside it, in a file {ENDING}", file.display()));
        }
        let found: Vec<_> = tested.into_iter().filter(|one| one.policy == path || one.cases == path).collect();
        let unknown = || format!("{}: neither a policy in retry/, alerts/ or admit/ nor its cases", file.display());
        if found.is_empty() { Err(unknown()) } else { Ok(found) }
    }
}
