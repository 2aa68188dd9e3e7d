//! All policy slots. They turn a scan of the directory into the next generation.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tidegate_core::HostView;
use tidegate_core::config::ResolvedPolicyConfig;

use crate::candidate::CandidateRunner;
use crate::decisions::PolicyId;
use crate::engines::text;
use crate::files::{FileContent, PolicyFile, Scan};
use crate::generation::Generation;
use crate::hashes::PolicyHashes;
use crate::paths::{CANDIDATE, RULES};
use crate::rules::RuleReader;
use crate::slot::{Change, Changes, LoadContext, PolicySlot, SlotContent};

/// The slots of every policy file that exists, each with its last good version.
#[derive(Default)]
pub struct Slots {
    number: u64,
    slots: BTreeMap<String, PolicySlot>,
    /// Why the directory cannot be read.
    directory_error: Option<String>,
    /// Runs the candidates. It is started when the first candidate is loaded.
    candidate_runner: Option<Arc<CandidateRunner>>,
}

impl Slots {
    /// Returns the number of the active generation. It increases with every change of the active policies.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Whether this content of a file was loaded before.
    pub fn has_loaded(&self, path: &str, hash: &str) -> bool {
        let mut attempts = self.slots.values().filter_map(|slot| slot.last_attempt.as_ref());
        attempts.any(|attempt| attempt.path == path && attempt.hash == hash)
    }

    /// Whether a version of the file is active.
    pub fn has_active_version(&self, path: &str) -> bool {
        self.slots.values().any(|slot| slot.path == path && slot.good.is_some())
    }

    /// Returns why the directory cannot be read, or `None` if it can.
    pub fn directory_error(&self) -> Option<&str> {
        self.directory_error.as_deref()
    }

    /// Returns why the directory cannot be read and why current files are rejected, by path.
    pub fn errors(&self, dir: &Path) -> BTreeMap<String, String> {
        let stale =
            self.slots.values().filter_map(|slot| Some((slot.path.clone(), slot.stale.as_ref()?.message.clone())));
        let directory = self.directory_error.iter().map(|error| (dir.display().to_string(), error.clone()));
        directory.chain(stale).collect()
    }

    /// Keeps every policy active, because a directory that cannot be read is an error and not an edit. A directory that
    /// never existed is not an error.
    pub fn reject_directory(&mut self, dir: &Path, error: &io::Error) -> Changes {
        let message = format!("{}: {error}; the last good policies stay active", dir.display());
        let never_existed = self.slots.is_empty() && error.kind() == io::ErrorKind::NotFound;
        if never_existed || self.directory_error.as_ref() == Some(&message) {
            return Changes::new();
        }
        self.directory_error = Some(message.clone());
        Changes::from([(dir.display().to_string(), Change::Rejected(message))])
    }

    /// Loads the files of a scan. A valid file becomes active. For an invalid file, the last good version stays active.
    pub fn update(&mut self, mut scan: Scan, context: LoadContext<'_>) -> Changes {
        let mut changes = Changes::new();
        if self.directory_error.take().is_some() {
            changes.insert(context.dir.display().to_string(), Change::Restored);
        }
        let next = self.number + 1;
        for (_, slot) in self.slots.extract_if(.., |key, _| !scan.contains_key(key)) {
            changes.insert(slot.path, Change::Removed);
        }
        let rules = scan.remove(RULES);
        for (key, files) in scan {
            let slot = self.slots.entry(key).or_default();
            let load = |slot: &PolicySlot, file: &PolicyFile, content: &FileContent, config: &ResolvedPolicyConfig| {
                slot.load(file, content, config, context, next)
            };
            slot.update(&files, context, next, false, &mut changes, load);
        }
        if let Some(files) = rules {
            self.update_rules(&files, context, next, &mut changes);
        }
        if changes.values().any(|change| matches!(change, Change::Activated | Change::Removed)) {
            self.number = next;
        }
        if self.candidate_runner.is_none() && self.slots.values().any(|slot| slot.candidate().is_some()) {
            let started = CandidateRunner::start()
                .inspect_err(|error| tracing::error!(%error, "cannot start the thread that runs candidates"));
            self.candidate_runner = started.ok().map(Arc::new);
        }
        changes
    }

    /// Updates the rules. They contain the alert conditions that they name, so they are read again when the file of one
    /// of these changed.
    fn update_rules(&mut self, files: &[PolicyFile], context: LoadContext<'_>, next: u64, changes: &mut Changes) {
        let mut slot = self.slots.remove(RULES).unwrap_or_default();
        let file = context.dir.join(RULES).display().to_string();
        let alert_slots = self.slots.iter().filter(|(key, _)| key.starts_with("alerts/"));
        let alerts = alert_slots.map(|(key, slot)| (key.as_str(), slot.alert())).collect();
        let (config, policy_context) = (context.config.resolve(RULES), slot.policy_context(context));
        let id = PolicyId { path: RULES.into(), rule: None, generation: next };
        let reader =
            RuleReader { engines: context.engines, file: &file, id, context: policy_context, config: &config, alerts };
        let condition_changed = changes.keys().any(|path| path.starts_with("alerts/"));
        slot.update(files, context, next, condition_changed, changes, |_, _, content, _| {
            let text = text(&file, &content.bytes)?.to_owned();
            reader.read(&text).map(|rules| SlotContent::Rules(text, rules))
        });
        // If the current text is rejected, the last good text still needs the current alert conditions.
        if condition_changed && slot.stale.is_some() {
            slot.refresh_rules(&reader);
        }
        self.slots.insert(RULES.to_owned(), slot);
    }

    /// Returns the active generation.
    pub fn generation(&self, view: &Arc<dyn HostView>) -> Generation {
        let mut generation = Generation {
            number: self.number,
            view: Arc::clone(view),
            retry: BTreeMap::new(),
            admit: BTreeMap::new(),
            candidates: BTreeMap::new(),
            candidate_runner: self.candidate_runner.clone(),
            rules: Arc::default(),
            entries: self.slots.values().map(PolicySlot::status_entry).collect(),
            hashes: PolicyHashes::of(self.slots.values().filter_map(|slot| slot.good.as_ref())),
            directory_error: self.directory_error.clone(),
        };
        for (key, slot) in &self.slots {
            let name = || key.rsplit_once('/').map_or(key.as_str(), |(_, name)| name).to_owned();
            match slot.good.as_ref().map(|good| &good.content) {
                Some(SlotContent::Retry(policy)) => drop(generation.retry.insert(name(), Arc::clone(policy))),
                Some(SlotContent::Admit(policy)) => drop(generation.admit.insert(name(), Arc::clone(policy))),
                Some(SlotContent::Candidate(candidate)) => {
                    let platform = name().trim_end_matches(CANDIDATE).to_owned();
                    generation.candidates.insert(platform, Arc::clone(candidate));
                }
                Some(SlotContent::Rules(_, rules)) => generation.rules = Arc::clone(rules),
                Some(SlotContent::Alert(_)) | None => {}
            }
        }
        generation
    }

    /// Takes the hashes of the components that compile in the background and that no thread waits for yet.
    pub fn take_pending_compilations(&mut self) -> Vec<String> {
        self.slots.values_mut().filter_map(|slot| slot.pending_compilation.take()).collect()
    }
}
