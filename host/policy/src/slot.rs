//! One slot a purpose: the last good version of its file, and why the file as it is now is not in force.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_core::config::{PoliciesConfig, Terms};
use tidegate_core::{AdmitPolicy, AlertPolicy, RetryPolicy};

use crate::counted::{Care, Counted, Patience};
use crate::counters::Counters;
use crate::decisions::{Author, Decisions};
use crate::engines::{Engines, Language, Progress, Source};
use crate::files::{CANDIDATE, Content, Found};
use crate::generation::Entry;
use crate::load::{Loaded, PolicyKind};
use crate::rules::{Rule, Sources};
use crate::shadow::Candidate;

/// The longest refusal, in bytes: a large file may have a mistake in every line.
const MAX_REFUSAL: usize = 4_000;

/// Components beyond this size, in bytes, compile for seconds.
const LARGE: usize = 1 << 20;
/// How long an edited component may hold up other edits while it is compiled: most take a twentieth of it, and who means
/// harm makes one that takes minutes.
pub const PATIENCE: Duration = Duration::from_secs(1);

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

/// What became of each file, by its path.
pub type Changes = BTreeMap<String, Change>;

/// Where files are read and by what they become policies.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub dir: &'a Path,
    pub engines: &'a Engines,
    pub config: &'a PoliciesConfig,
    pub decisions: &'a Arc<Decisions>,
    /// How long a component may hold up the others while it is compiled.
    pub patience: Duration,
}

impl Place<'_> {
    /// A component that takes long by its size alone is not waited for, where others are held up.
    fn patience_for(&self, content: &Content) -> Duration {
        if content.bytes.len() > LARGE { self.patience.saturating_sub(PATIENCE) } else { self.patience }
    }
}

/// The file of one purpose.
#[derive(Default)]
pub struct Slot {
    /// The file as it was last seen.
    pub path: String,
    /// What was last tried, good or bad.
    pub tried: Option<Tried>,
    pub good: Option<Good>,
    /// Why and since when.
    pub stale: Option<(String, u64)>,
    counters: Arc<Counters>,
    /// The hash of a component whose compilation takes long, until somebody waits for it.
    pub awaits: Option<String>,
}

/// A file's path, its contents and what holds for it: what is the same in all three is no news.
#[derive(Clone, PartialEq)]
pub struct Tried {
    pub path: String,
    pub hash: String,
    pub terms: Terms,
}

/// A version that is in force.
pub struct Good {
    pub tried: Tried,
    pub generation: u64,
    pub policy: Policy,
}

/// What a version is.
pub enum Policy {
    Retry(Arc<Counted<dyn RetryPolicy>>),
    Admit(Arc<Counted<dyn AdmitPolicy>>),
    Alert(Arc<Counted<dyn AlertPolicy>>),
    Candidate(Arc<Candidate>),
    /// The rules with the text they were read from, to be read again when a condition's file changes.
    Rules(String, Arc<[Rule]>),
}

impl Slot {
    /// Takes over the file as it was found; `again` where it is no news but what it refers to is.
    pub fn update(
        &mut self,
        found: &[Found],
        place: Place<'_>,
        next: u64,
        again: bool,
        changes: &mut Changes,
        load: impl FnOnce(&Self, &Found, &Content, &Terms) -> Result<Policy, String>,
    ) {
        if let Some(first) = found.first() {
            self.path.clone_from(&first.path);
        }
        let dir = place.dir;
        let [file] = found else { return self.refuse(None, conflict(found, dir), changes) };
        let content = match &file.content {
            Ok(content) => content,
            Err(error) => return self.refuse(None, format!("{}: {error}", dir.join(&file.path).display()), changes),
        };
        let path = file.path.clone();
        let tried = Tried { path: path.clone(), hash: content.hash.clone(), terms: place.config.terms(&path) };
        if !again && self.tried.as_ref() == Some(&tried) {
            return;
        }
        if !again && self.good.as_ref().is_some_and(|good| good.tried == tried) {
            self.tried = Some(tried);
            self.stale = None;
            changes.insert(path, Change::Mended);
            return;
        }
        let progress = place.engines.prepare(place.patience_for(content), &path, content);
        if progress != Progress::Ready {
            if progress == Progress::Begun {
                self.awaits = Some(content.hash.clone());
            }
            let problem =
                format!("{}: is being compiled; what was good before stays until then", dir.join(&path).display());
            return self.refuse(None, problem, changes);
        }
        self.tried = Some(tried.clone());
        // A panic of a compiler is its file's trouble; the other files are to be read all the same.
        let loaded = catch_unwind(AssertUnwindSafe(|| load(self, file, content, &tried.terms)));
        let loaded = loaded.unwrap_or_else(|_| Err(format!("{}: its engine panicked", dir.join(&path).display())));
        match loaded {
            Err(problem) => self.refuse(Some(tried), problem, changes),
            Ok(policy) => {
                self.good = Some(Good { tried, generation: next, policy });
                self.stale = None;
                changes.insert(path, Change::InForce);
            }
        }
    }

    fn refuse(&mut self, tried: Option<Tried>, problem: String, changes: &mut Changes) {
        self.tried = tried;
        let problem = short(problem);
        if self.stale.as_ref().map(|(known, _)| known) != Some(&problem) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let since = self.stale.as_ref().map_or(tidegate_core::clock::millis(now), |(_, since)| *since);
            self.stale = Some((problem.clone(), since));
            changes.insert(self.path.clone(), Change::Refused(problem));
        }
    }

    /// When its policy is set aside, and who writes its decisions down.
    pub fn care(&self, place: Place<'_>) -> Care {
        let (counters, decisions) = (Arc::clone(&self.counters), Arc::clone(place.decisions));
        Care { counters, patience: patience(place.config), decisions }
    }

    /// The policy in a file.
    pub fn load(
        &self,
        file: &Found,
        content: &Content,
        terms: &Terms,
        place: Place<'_>,
        generation: u64,
    ) -> Result<Policy, String> {
        let full = place.dir.join(&file.path).display().to_string();
        let kind = PolicyKind::of(Path::new(&file.path)).unwrap_or(PolicyKind::Alert);
        let source = Source { path: &file.path, file: &full, bytes: &content.bytes, hash: Some(&content.hash) };
        let (author, care) = (Author { path: (*file.path).into(), rule: None, generation }, self.care(place));
        let last = self.good.as_ref().map(|good| &good.policy);
        Ok(match place.engines.load(kind, &source, terms)? {
            Loaded::Retry(policy) if is_candidate(&file.path) => {
                // What it says decides nothing.
                let care = Care { decisions: Arc::default(), ..care };
                Policy::Candidate(Candidate::new(Arc::new(Counted::new(author, policy, care, None))))
            }
            Loaded::Retry(policy) => {
                let last = last.and_then(|last| if let Policy::Retry(last) = last { Some(last) } else { None });
                Policy::Retry(Arc::new(Counted::new(author, policy, care, last)))
            }
            Loaded::Admit(policy) => {
                let last = last.and_then(|last| if let Policy::Admit(last) = last { Some(last) } else { None });
                Policy::Admit(Arc::new(Counted::new(author, policy, care, last)))
            }
            Loaded::Alert(policy) => {
                let last = last.and_then(|last| if let Policy::Alert(last) = last { Some(last) } else { None });
                Policy::Alert(Arc::new(Counted::new(author, policy, care, last)))
            }
        })
    }

    /// The candidate that it holds, if it holds one.
    pub fn candidate(&self) -> Option<&Arc<Candidate>> {
        match &self.good.as_ref()?.policy {
            Policy::Candidate(candidate) => Some(candidate),
            _ => None,
        }
    }

    /// Reads the good rules again, for what they refer to has changed.
    pub fn refresh_rules(&mut self, sources: &Sources<'_>) {
        if let Some(Good { policy: Policy::Rules(text, rules), .. }) = &mut self.good
            && let Ok(read) = sources.read(text)
        {
            *rules = read;
        }
    }

    /// The condition that it holds, if it holds one.
    pub fn alert(&self) -> Option<Arc<dyn AlertPolicy>> {
        match self.good.as_ref().map(|good| &good.policy) {
            Some(Policy::Alert(policy)) => Some(Arc::clone(policy) as _),
            _ => None,
        }
    }

    /// What the status tells of it.
    pub fn entry(&self) -> Entry {
        let path = self.good.as_ref().map_or(&self.path, |good| &good.tried.path);
        Entry {
            path: path.clone(),
            kind: Language::of(path).map_or("rules", Language::name),
            generation: self.good.as_ref().map(|good| good.generation),
            hash: self.good.as_ref().map(|good| good.tried.hash.clone()),
            stale: self.stale.clone(),
            counters: Arc::clone(&self.counters),
            candidate: self.candidate().cloned(),
        }
    }
}

/// A refusal as logs and pages tell it: whole lines as far as they fit.
fn short(mut problem: String) -> String {
    if problem.len() > MAX_REFUSAL {
        problem.truncate(problem.floor_char_boundary(MAX_REFUSAL));
        let whole = problem.rfind('\n').unwrap_or(problem.len());
        problem.truncate(whole);
        problem.push_str(" … and more");
    }
    problem
}

/// Whether a file only reports what it would have decided.
pub fn is_candidate(path: &str) -> bool {
    Path::new(path).file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with(CANDIDATE))
}

/// When a policy is set aside.
pub fn patience(config: &PoliciesConfig) -> Patience {
    Patience { faults: config.max_faults as usize, window: config.fault_window }
}

fn conflict(found: &[Found], dir: &Path) -> String {
    let files: Vec<_> = found.iter().map(|found| dir.join(&found.path).display().to_string()).collect();
    format!("{}: both claim the same platform; remove one", files.join(" and "))
}
