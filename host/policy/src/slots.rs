//! One slot a purpose: the last good version of its file, and why the file as it is now is not in force.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use tidegate_core::{AlertPolicy, RetryPolicy};

use crate::counted::{Counted, Counters};
use crate::engines::{Engines, Language};
use crate::files::{Content, Found, RULES, Scan};
use crate::generation::{Entry, Generation};
use crate::rules::{Rule, Sources};

/// What became of a file.
pub enum Change {
    /// It is in force as it is now.
    InForce,
    /// It is gone.
    Removed,
    /// It is not in force as it is now.
    Refused(String),
    /// Its contents are the ones in force again.
    Mended,
}

type Changes = BTreeMap<String, Change>;

/// Everything that was ever good and still is there.
#[derive(Default)]
pub struct Slots {
    number: u64,
    slots: BTreeMap<String, Slot>,
    /// Why the directory cannot be read.
    lost: Option<String>,
}

#[derive(Default)]
struct Slot {
    /// The file as it was last seen.
    path: String,
    /// Path and hash of what was last tried, good or bad.
    tried: Option<(String, String)>,
    good: Option<Good>,
    stale: Option<String>,
    counters: Arc<Counters>,
}

struct Good {
    path: String,
    hash: String,
    generation: u64,
    policy: Policy,
}

enum Policy {
    Retry(Arc<Counted<dyn RetryPolicy>>),
    Alert(Arc<dyn AlertPolicy>),
    /// The rules with the text they were read from, to be read again when a condition's file changes.
    Rules(String, Arc<[Rule]>),
}

impl Slots {
    /// Counts up with every change of what is in force.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Whether these contents were tried already.
    pub fn knows(&self, path: &str, hash: &str) -> bool {
        self.slots.values().filter_map(|slot| slot.tried.as_ref()).any(|tried| tried.0 == path && tried.1 == hash)
    }

    /// Why files are not in force as they are.
    pub fn problems(&self) -> Vec<String> {
        self.lost.iter().chain(self.slots.values().filter_map(|slot| slot.stale.as_ref())).cloned().collect()
    }

    /// Keeps everything, since a directory that vanished is trouble and no edit; one that never was there is fine.
    pub fn lose_directory(&mut self, dir: &Path, error: &io::Error) -> Changes {
        let problem = format!("{}: {error}; the policies read last stay in force", dir.display());
        if self.slots.is_empty() && error.kind() == io::ErrorKind::NotFound || self.lost.as_ref() == Some(&problem) {
            return Changes::new();
        }
        self.lost = Some(problem.clone());
        Changes::from([(dir.display().to_string(), Change::Refused(problem))])
    }

    /// Takes over what was found: good files come in force, bad ones leave the last good one there.
    pub fn update(&mut self, mut scan: Scan, dir: &Path, engines: &Engines) -> Changes {
        let mut changes = Changes::new();
        if self.lost.take().is_some() {
            changes.insert(dir.display().to_string(), Change::Mended);
        }
        let next = self.number + 1;
        for (_, slot) in self.slots.extract_if(.., |purpose, _| !scan.contains_key(purpose)) {
            changes.insert(slot.path, Change::Removed);
        }
        let rules = scan.remove(RULES);
        for (purpose, found) in scan {
            let slot = self.slots.entry(purpose).or_default();
            let load = |slot: &Slot, file: &Found, content: &Content| slot.load(file, content, dir, engines);
            slot.update(&found, dir, next, false, &mut changes, load);
        }
        if let Some(found) = rules {
            self.update_rules(&found, dir, engines, next, &mut changes);
        }
        if changes.values().any(|change| matches!(change, Change::InForce | Change::Removed)) {
            self.number = next;
        }
        changes
    }

    /// Rules hold the conditions they name, so they are read again whenever one of those changed.
    fn update_rules(&mut self, found: &[Found], dir: &Path, engines: &Engines, next: u64, changes: &mut Changes) {
        let mut slot = self.slots.remove(RULES).unwrap_or_default();
        let file = dir.join(RULES).display().to_string();
        let conditions = self.slots.iter().filter(|(purpose, _)| purpose.starts_with("alerts/"));
        let alerts = conditions.map(|(purpose, slot)| (purpose.as_str(), slot.alert())).collect();
        let sources = Sources { engines, file: &file, path: RULES, counters: &slot.counters.clone(), alerts };
        let moved = changes.keys().any(|path| path.starts_with("alerts/"));
        slot.update(found, dir, next, moved, changes, |_, _, content| {
            let text = String::from_utf8(content.bytes.clone()).map_err(|_| format!("{file}: not UTF-8"))?;
            sources.read(&text).map(|rules| Policy::Rules(text, rules))
        });
        // The text as it is now may be bad; the good one still wants the conditions as they are now.
        if moved && slot.stale.is_some() {
            slot.refresh_rules(&sources);
        }
        self.slots.insert(RULES.to_owned(), slot);
    }

    /// What is in force now.
    pub fn generation(&self) -> Generation {
        let mut retry = BTreeMap::new();
        let mut rules = Arc::default();
        for (purpose, slot) in &self.slots {
            match slot.good.as_ref().map(|good| &good.policy) {
                Some(Policy::Retry(policy)) => {
                    let platform = purpose.trim_start_matches("retry/").to_owned();
                    retry.insert(platform, Arc::clone(policy));
                }
                Some(Policy::Rules(_, read)) => rules = Arc::clone(read),
                Some(Policy::Alert(_)) | None => {}
            }
        }
        let entries = self.slots.values().map(Slot::entry).collect();
        Generation { number: self.number, retry, rules, entries }
    }
}

impl Slot {
    /// Takes over the file as it was found; `again` where it is no news but what it refers to is.
    fn update(
        &mut self,
        found: &[Found],
        dir: &Path,
        next: u64,
        again: bool,
        changes: &mut Changes,
        load: impl FnOnce(&Self, &Found, &Content) -> Result<Policy, String>,
    ) {
        if let Some(first) = found.first() {
            self.path.clone_from(&first.path);
        }
        let [file] = found else { return self.refuse(None, conflict(found, dir), changes) };
        let content = match &file.content {
            Ok(content) => content,
            Err(error) => return self.refuse(None, format!("{}: {error}", dir.join(&file.path).display()), changes),
        };
        let (path, hash) = (file.path.clone(), content.hash.clone());
        let tried = Some((path.clone(), hash.clone()));
        if !again && self.tried == tried {
            return;
        }
        self.tried.clone_from(&tried);
        if !again && self.good.as_ref().is_some_and(|good| good.path == path && good.hash == hash) {
            self.stale = None;
            changes.insert(path, Change::Mended);
            return;
        }
        // A panic of a compiler is its file's trouble; the other files are to be read all the same.
        let loaded = catch_unwind(AssertUnwindSafe(|| load(self, file, content)));
        let loaded = loaded.unwrap_or_else(|_| Err(format!("{}: its engine panicked", dir.join(&path).display())));
        match loaded {
            Err(problem) => self.refuse(tried, problem, changes),
            Ok(policy) => {
                self.good = Some(Good { path: path.clone(), hash, generation: next, policy });
                self.stale = None;
                changes.insert(path, Change::InForce);
            }
        }
    }

    fn refuse(&mut self, tried: Option<(String, String)>, problem: String, changes: &mut Changes) {
        self.tried = tried;
        if self.stale.as_ref() != Some(&problem) {
            self.stale = Some(problem.clone());
            changes.insert(self.path.clone(), Change::Refused(problem));
        }
    }

    fn load(&self, file: &Found, content: &Content, dir: &Path, engines: &Engines) -> Result<Policy, String> {
        let full = dir.join(&file.path).display().to_string();
        let language = Language::of(&file.path).ok_or_else(|| format!("{full}: neither .rhai nor .wasm"))?;
        if file.path.starts_with("retry/") {
            let policy = engines.retry(language, &full, &content.bytes)?;
            Ok(Policy::Retry(Arc::new(Counted::new(&file.path, policy, &self.counters))))
        } else {
            let policy = engines.alert(language, &full, &content.bytes)?;
            Ok(Policy::Alert(Arc::new(Counted::new(&file.path, policy, &self.counters))))
        }
    }

    fn refresh_rules(&mut self, sources: &Sources<'_>) {
        if let Some(Good { policy: Policy::Rules(text, rules), .. }) = &mut self.good
            && let Ok(read) = sources.read(text)
        {
            *rules = read;
        }
    }

    fn alert(&self) -> Option<Arc<dyn AlertPolicy>> {
        match self.good.as_ref().map(|good| &good.policy) {
            Some(Policy::Alert(policy)) => Some(Arc::clone(policy)),
            _ => None,
        }
    }

    fn entry(&self) -> Entry {
        let path = self.good.as_ref().map_or(&self.path, |good| &good.path);
        Entry {
            path: path.clone(),
            kind: Language::of(path).map_or("rules", Language::name),
            generation: self.good.as_ref().map(|good| good.generation),
            hash: self.good.as_ref().map(|good| good.hash.clone()),
            stale: self.stale.clone(),
            counters: Arc::clone(&self.counters),
        }
    }
}

fn conflict(found: &[Found], dir: &Path) -> String {
    let files: Vec<_> = found.iter().map(|found| dir.join(&found.path).display().to_string()).collect();
    format!("{}: both claim the same platform; remove one", files.join(" and "))
}
