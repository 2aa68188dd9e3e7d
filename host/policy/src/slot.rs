//! One policy slot: the last good version of its file, and why the current file is rejected if it is.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::config::{PoliciesConfig, ResolvedPolicyConfig};
use tidegate_core::{AdmitPolicy, AlertPolicy, Clock, RetryPolicy};

use crate::candidate::Candidate;
use crate::compile_progress::CompileProgress;
use crate::counters::Counters;
use crate::decisions::{DecisionLog, PolicyId};
use crate::engines::{Engines, PolicySource};
use crate::files::{FileContent, PolicyFile};
use crate::loaded::LoadedPolicy;
use crate::paths::{PolicyKind, PolicyLanguage, is_candidate};
use crate::rules::{Rule, RuleReader};
use crate::status::{StaleReason, StatusEntry};
use crate::tracked::{FaultThreshold, PolicyContext, TrackedPolicy};

/// The maximum size of a rejection message, in bytes. A large file may have an error in every line.
const MAX_REJECTION_SIZE: usize = 4_000;

/// Components larger than this, in bytes, take seconds to compile.
const LARGE_COMPONENT: usize = 1 << 20;
/// How long the compilation of an edited component may delay other edits. Most components compile in a twentieth of
/// this time; a malicious one may need minutes.
pub const COMPILE_WAIT: Duration = Duration::from_secs(1);

/// What an update did to a file.
pub enum Change {
    /// The current file became the active version.
    Activated,
    /// The file was removed.
    Removed,
    /// The current file is rejected, for this reason.
    Rejected(String),
    /// The current file is still compiling.
    Compiling,
    /// The file has the content of the active version again.
    Restored,
}

/// The change of each file, by path.
pub type Changes = BTreeMap<String, Change>;

/// What a slot needs to load a file.
#[derive(Clone, Copy)]
pub struct LoadContext<'a> {
    pub dir: &'a Path,
    pub engines: &'a Engines,
    pub config: &'a PoliciesConfig,
    pub decision_log: &'a Arc<DecisionLog>,
    pub clock: &'a Arc<dyn Clock>,
    /// How long the compilation of a component may delay the other files.
    pub compile_wait: Duration,
}

impl LoadContext<'_> {
    /// Returns how long to wait for the compilation of a file. A reload does not wait for a large component.
    fn compile_wait_for(&self, content: &FileContent) -> Duration {
        let is_large = content.bytes.len() > LARGE_COMPONENT;
        if is_large { self.compile_wait.saturating_sub(COMPILE_WAIT) } else { self.compile_wait }
    }
}

/// The state of one policy file, or of the rules file.
#[derive(Default)]
pub struct PolicySlot {
    /// The path of the file at the last scan.
    pub path: String,
    /// The version that was loaded last, whether it was accepted or rejected.
    pub last_attempt: Option<LoadAttempt>,
    pub good: Option<GoodVersion>,
    pub stale: Option<StaleReason>,
    counters: Arc<Counters>,
    /// The hash of a component that compiles in the background and that no thread waits for yet.
    pub pending_compilation: Option<String>,
}

/// A file's path, content and configuration. If all three are unchanged, the file is not loaded again.
#[derive(Clone, PartialEq)]
pub struct LoadAttempt {
    pub path: String,
    pub hash: String,
    pub config: ResolvedPolicyConfig,
}

/// The active version of a file.
pub struct GoodVersion {
    pub attempt: LoadAttempt,
    pub generation: u64,
    pub content: SlotContent,
}

/// What a version holds.
pub enum SlotContent {
    Retry(Arc<TrackedPolicy<dyn RetryPolicy>>),
    Admit(Arc<TrackedPolicy<dyn AdmitPolicy>>),
    Alert(Arc<TrackedPolicy<dyn AlertPolicy>>),
    Candidate(Arc<Candidate>),
    /// The rules and their text. The text is read again when the file of an alert condition changes.
    Rules(String, Arc<[Rule]>),
}

impl PolicySlot {
    /// Loads the file if it changed, or if `force` is set because something that it refers to changed.
    pub fn update(
        &mut self,
        files: &[PolicyFile],
        context: LoadContext<'_>,
        next_generation: u64,
        force: bool,
        changes: &mut Changes,
        load: impl FnOnce(&Self, &PolicyFile, &FileContent, &ResolvedPolicyConfig) -> Result<SlotContent, String>,
    ) {
        if let Some(first) = files.first() {
            self.path.clone_from(&first.path);
        }
        let dir = context.dir;
        let [file] = files else { return self.reject(None, conflict(files, dir), context.clock, changes) };
        let full_path = || dir.join(&file.path).display().to_string();
        let content = match &file.content {
            Ok(content) => content,
            Err(error) => return self.reject(None, format!("{}: {error}", full_path()), context.clock, changes),
        };
        let path = file.path.clone();
        let attempt =
            LoadAttempt { path: path.clone(), hash: content.hash.clone(), config: context.config.resolve(&path) };
        if !force && self.last_attempt.as_ref() == Some(&attempt) {
            return;
        }
        if !force && self.good.as_ref().is_some_and(|good| good.attempt == attempt) {
            self.last_attempt = Some(attempt);
            self.stale = None;
            changes.insert(path, Change::Restored);
            return;
        }
        let progress = context.engines.prepare(context.compile_wait_for(content), &path, content);
        if progress != CompileProgress::Ready {
            if progress == CompileProgress::Started {
                self.pending_compilation = Some(content.hash.clone());
            }
            let message = format!("{}: still compiling; the previous version, if any, stays active", full_path());
            return self.mark_stale(None, message, context.clock, changes, |_| Change::Compiling);
        }
        self.last_attempt = Some(attempt.clone());
        // If an engine panics while it loads this file, the other files must still be read.
        let loaded = catch_unwind(AssertUnwindSafe(|| load(self, file, content, &attempt.config)));
        let loaded = loaded.unwrap_or_else(|_| Err(format!("{}: the policy engine panicked", full_path())));
        match loaded {
            Err(message) => self.reject(Some(attempt), message, context.clock, changes),
            Ok(content) => {
                self.good = Some(GoodVersion { attempt, generation: next_generation, content });
                self.stale = None;
                changes.insert(path, Change::Activated);
            }
        }
    }

    fn reject(&mut self, attempt: Option<LoadAttempt>, message: String, clock: &Arc<dyn Clock>, changes: &mut Changes) {
        self.mark_stale(attempt, message, clock, changes, Change::Rejected);
    }

    /// Records why the current file is not active, unless this is already recorded.
    fn mark_stale(
        &mut self,
        attempt: Option<LoadAttempt>,
        message: String,
        clock: &Arc<dyn Clock>,
        changes: &mut Changes,
        change: impl FnOnce(String) -> Change,
    ) {
        self.last_attempt = attempt;
        let message = truncated(message);
        if self.stale.as_ref().map(|stale| &stale.message) != Some(&message) {
            let since_ms = self.stale.as_ref().map_or_else(|| clock.unix_ms(), |stale| stale.since_ms);
            self.stale = Some(StaleReason { message: message.clone(), since_ms });
            changes.insert(self.path.clone(), change(message));
        }
    }

    /// Returns the counters, fault threshold and decision log of this slot's policy.
    pub fn policy_context(&self, context: LoadContext<'_>) -> PolicyContext {
        PolicyContext {
            counters: Arc::clone(&self.counters),
            threshold: fault_threshold(context.config),
            decision_log: Arc::clone(context.decision_log),
            clock: Arc::clone(context.clock),
        }
    }

    /// Loads the policy in a file.
    ///
    /// # Errors
    /// Returns every error as `file:line:column: message`, one per line.
    pub fn load(
        &self,
        file: &PolicyFile,
        content: &FileContent,
        config: &ResolvedPolicyConfig,
        context: LoadContext<'_>,
        generation: u64,
    ) -> Result<SlotContent, String> {
        let full_path = context.dir.join(&file.path).display().to_string();
        let kind = PolicyKind::from_path(Path::new(&file.path)).unwrap_or(PolicyKind::Alert);
        let source =
            PolicySource { path: &file.path, file: &full_path, bytes: &content.bytes, hash: Some(&content.hash) };
        let id = PolicyId { path: (*file.path).into(), rule: None, generation };
        let policy_context = self.policy_context(context);
        let last = self.good.as_ref().map(|good| &good.content);
        Ok(match context.engines.load(kind, &source, config).map_err(|error| error.to_string())? {
            LoadedPolicy::Retry(policy) if is_candidate(&file.path) => {
                // A candidate's verdict has no effect, so it is not logged.
                let policy_context = PolicyContext {
                    decision_log: Arc::new(DecisionLog::new(Arc::clone(context.clock))),
                    ..policy_context
                };
                let policy = TrackedPolicy::new(id, policy, policy_context, None);
                SlotContent::Candidate(Candidate::new(Arc::new(policy)))
            }
            LoadedPolicy::Retry(policy) => {
                let last = last.and_then(|last| if let SlotContent::Retry(last) = last { Some(last) } else { None });
                SlotContent::Retry(Arc::new(TrackedPolicy::new(id, policy, policy_context, last)))
            }
            LoadedPolicy::Admit(policy) => {
                let last = last.and_then(|last| if let SlotContent::Admit(last) = last { Some(last) } else { None });
                SlotContent::Admit(Arc::new(TrackedPolicy::new(id, policy, policy_context, last)))
            }
            LoadedPolicy::Alert(policy) => {
                let last = last.and_then(|last| if let SlotContent::Alert(last) = last { Some(last) } else { None });
                SlotContent::Alert(Arc::new(TrackedPolicy::new(id, policy, policy_context, last)))
            }
        })
    }

    /// Returns the active candidate, if this slot holds one.
    pub fn candidate(&self) -> Option<&Arc<Candidate>> {
        match &self.good.as_ref()?.content {
            SlotContent::Candidate(candidate) => Some(candidate),
            _ => None,
        }
    }

    /// Reads the text of the active rules again, because the file of an alert condition changed.
    pub fn refresh_rules(&mut self, reader: &RuleReader<'_>) {
        if let Some(GoodVersion { content: SlotContent::Rules(text, rules), .. }) = &mut self.good
            && let Ok(refreshed) = reader.read(text)
        {
            *rules = refreshed;
        }
    }

    /// Returns the active alert condition, if this slot holds one.
    pub fn alert(&self) -> Option<Arc<dyn AlertPolicy>> {
        match self.good.as_ref().map(|good| &good.content) {
            Some(SlotContent::Alert(policy)) => Some(Arc::clone(policy) as _),
            _ => None,
        }
    }

    /// Returns the entry of the policy status.
    pub fn status_entry(&self) -> StatusEntry {
        let path = self.good.as_ref().map_or(&self.path, |good| &good.attempt.path);
        StatusEntry {
            path: path.clone(),
            language: PolicyLanguage::from_path(Path::new(path)).unwrap_or(PolicyLanguage::Toml),
            generation: self.good.as_ref().map(|good| good.generation),
            hash: self.good.as_ref().map(|good| good.attempt.hash.clone()),
            stale: self.stale.clone(),
            counters: Arc::clone(&self.counters),
            candidate: self.candidate().cloned(),
        }
    }
}

/// Cuts a rejection message at the size limit, after a complete line.
fn truncated(mut message: String) -> String {
    if message.len() > MAX_REJECTION_SIZE {
        message.truncate(message.floor_char_boundary(MAX_REJECTION_SIZE));
        let last_line_end = message.rfind('\n').unwrap_or(message.len());
        message.truncate(last_line_end);
        message.push_str(" … (truncated)");
    }
    message
}

fn fault_threshold(config: &PoliciesConfig) -> FaultThreshold {
    FaultThreshold { faults: config.max_faults as usize, window: config.fault_window }
}

fn conflict(files: &[PolicyFile], dir: &Path) -> String {
    let paths: Vec<_> = files.iter().map(|file| dir.join(&file.path).display().to_string()).collect();
    format!("{}: more than one policy for the same platform; keep one file", paths.join(" and "))
}
