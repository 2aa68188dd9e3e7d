//! All slots: what was found in the directory becomes the next generation.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tidegate_core::View;
use tidegate_core::config::Terms;

use crate::decisions::Author;
use crate::engines::text;
use crate::files::{CANDIDATE, Content, Found, RULES, Scan};
use crate::generation::Generation;
use crate::rules::Sources;
use crate::shadow::Shadow;
use crate::slot::{Change, Changes, Place, Policy, Slot};

/// Everything that was ever good and still is there.
#[derive(Default)]
pub struct Slots {
    number: u64,
    slots: BTreeMap<String, Slot>,
    /// Why the directory cannot be read.
    lost: Option<String>,
    /// Made when the first candidate comes.
    shadow: Option<Arc<Shadow>>,
}

impl Slots {
    /// Counts up with every change of what is in force.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Whether these contents were tried already.
    pub fn knows(&self, path: &str, hash: &str) -> bool {
        self.slots.values().filter_map(|slot| slot.tried.as_ref()).any(|tried| tried.path == path && tried.hash == hash)
    }

    /// Whether a version of the file is in force.
    pub fn has_good(&self, path: &str) -> bool {
        self.slots.values().any(|slot| slot.path == path && slot.good.is_some())
    }

    /// Why files are not in force as they are.
    pub fn problems(&self) -> Vec<String> {
        self.lost.iter().chain(self.slots.values().filter_map(|slot| Some(&slot.stale.as_ref()?.0))).cloned().collect()
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
    pub fn update(&mut self, mut scan: Scan, place: Place<'_>) -> Changes {
        let mut changes = Changes::new();
        if self.lost.take().is_some() {
            changes.insert(place.dir.display().to_string(), Change::Mended);
        }
        let next = self.number + 1;
        for (_, slot) in self.slots.extract_if(.., |purpose, _| !scan.contains_key(purpose)) {
            changes.insert(slot.path, Change::Removed);
        }
        let rules = scan.remove(RULES);
        for (purpose, found) in scan {
            let slot = self.slots.entry(purpose).or_default();
            let load = |slot: &Slot, file: &Found, content: &Content, terms: &Terms| {
                slot.load(file, content, terms, place, next)
            };
            slot.update(&found, place, next, false, &mut changes, load);
        }
        if let Some(found) = rules {
            self.update_rules(&found, place, next, &mut changes);
        }
        if changes.values().any(|change| matches!(change, Change::InForce | Change::Removed)) {
            self.number = next;
        }
        if self.shadow.is_none() && self.slots.values().any(|slot| slot.candidate().is_some()) {
            let started = Shadow::start().inspect_err(|error| tracing::error!(%error, "no candidate can run"));
            self.shadow = started.ok().map(Arc::new);
        }
        changes
    }

    /// Rules hold the conditions they name, so they are read again whenever one of those changed.
    fn update_rules(&mut self, found: &[Found], place: Place<'_>, next: u64, changes: &mut Changes) {
        let mut slot = self.slots.remove(RULES).unwrap_or_default();
        let file = place.dir.join(RULES).display().to_string();
        let conditions = self.slots.iter().filter(|(purpose, _)| purpose.starts_with("alerts/"));
        let alerts = conditions.map(|(purpose, slot)| (purpose.as_str(), slot.alert())).collect();
        let (terms, care) = (place.config.terms(RULES), slot.care(place));
        let author = Author { path: RULES.into(), rule: None, generation: next };
        let sources = Sources { engines: place.engines, file: &file, author, care, terms: &terms, alerts };
        let moved = changes.keys().any(|path| path.starts_with("alerts/"));
        slot.update(found, place, next, moved, changes, |_, _, content, _| {
            let text = text(&file, &content.bytes)?.to_owned();
            sources.read(&text).map(|rules| Policy::Rules(text, rules))
        });
        // The text as it is now may be bad; the good one still wants the conditions as they are now.
        if moved && slot.stale.is_some() {
            slot.refresh_rules(&sources);
        }
        self.slots.insert(RULES.to_owned(), slot);
    }

    /// What is in force now.
    pub fn generation(&self, view: &Arc<dyn View>) -> Generation {
        let mut generation = Generation {
            number: self.number,
            view: Arc::clone(view),
            retry: BTreeMap::new(),
            admit: BTreeMap::new(),
            candidates: BTreeMap::new(),
            shadow: self.shadow.clone(),
            rules: Arc::default(),
            entries: self.slots.values().map(Slot::entry).collect(),
            lost: self.lost.clone(),
        };
        for (purpose, slot) in &self.slots {
            let name = || purpose.rsplit_once('/').map_or(purpose.as_str(), |(_, name)| name).to_owned();
            match slot.good.as_ref().map(|good| &good.policy) {
                Some(Policy::Retry(policy)) => drop(generation.retry.insert(name(), Arc::clone(policy))),
                Some(Policy::Admit(policy)) => drop(generation.admit.insert(name(), Arc::clone(policy))),
                Some(Policy::Candidate(candidate)) => {
                    let platform = name().trim_end_matches(CANDIDATE).to_owned();
                    generation.candidates.insert(platform, Arc::clone(candidate));
                }
                Some(Policy::Rules(_, read)) => generation.rules = Arc::clone(read),
                Some(Policy::Alert(_)) | None => {}
            }
        }
        generation
    }

    /// The hashes of components that are still being compiled, and that nobody waits for yet.
    pub fn awaited(&mut self) -> Vec<String> {
        self.slots.values_mut().filter_map(|slot| slot.awaits.take()).collect()
    }
}
