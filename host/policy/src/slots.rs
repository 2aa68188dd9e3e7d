//! One slot a purpose: the last good version of its file, and why the file as it is now is not in force.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_core::config::{PoliciesConfig, Terms};
use tidegate_core::{AdmitPolicy, AlertPolicy, RetryPolicy, View};

use crate::counted::{Care, Counted, Patience};
use crate::counters::Counters;
use crate::decisions::{Author, Decisions};
use crate::engines::{Engines, Language, Source, text};
use crate::files::{CANDIDATE, Content, Found, RULES, Scan};
use crate::generation::{Entry, Generation};
use crate::load::{Loaded, PolicyKind};
use crate::rules::{Rule, Sources};
use crate::shadow::{Candidate, Shadow};

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

type Changes = BTreeMap<String, Change>;

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

/// A file that is still being compiled.
pub struct Component {
    pub path: String,
    pub bytes: Vec<u8>,
}

#[derive(Default)]
struct Slot {
    /// The file as it was last seen.
    path: String,
    /// What was last tried, good or bad.
    tried: Option<Tried>,
    good: Option<Good>,
    /// Why and since when.
    stale: Option<(String, u64)>,
    counters: Arc<Counters>,
    /// A component whose compilation takes long.
    awaits: Option<Component>,
    /// The one that was last told of, by hash.
    awaited: Option<String>,
}

/// A file's path, its contents and what holds for it: what is the same in all three is no news.
#[derive(Clone, PartialEq)]
struct Tried {
    path: String,
    hash: String,
    terms: Terms,
}

struct Good {
    tried: Tried,
    generation: u64,
    policy: Policy,
}

enum Policy {
    Retry(Arc<Counted<dyn RetryPolicy>>),
    Admit(Arc<Counted<dyn AdmitPolicy>>),
    Alert(Arc<Counted<dyn AlertPolicy>>),
    Candidate(Arc<Candidate>),
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
        self.slots.values().filter_map(|slot| slot.tried.as_ref()).any(|tried| tried.path == path && tried.hash == hash)
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

    /// The components that are still being compiled, and were not told of yet.
    pub fn awaited(&mut self) -> Vec<Component> {
        self.slots.values_mut().filter_map(|slot| slot.awaits.take()).collect()
    }
}

impl Slot {
    /// Takes over the file as it was found; `again` where it is no news but what it refers to is.
    fn update(
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
        if !place.engines.is_ready_within(place.patience_for(content), &path, &content.bytes) {
            if self.awaited.replace(content.hash.clone()).as_ref() != Some(&content.hash) {
                self.awaits = Some(Component { path: path.clone(), bytes: content.bytes.clone() });
            }
            let problem =
                format!("{}: is being compiled; what was good before stays until then", dir.join(&path).display());
            return self.refuse(None, problem, changes);
        }
        self.awaited = None;
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

    fn care(&self, place: Place<'_>) -> Care {
        let (counters, decisions) = (Arc::clone(&self.counters), Arc::clone(place.decisions));
        Care { counters, patience: patience(place.config), decisions }
    }

    fn load(
        &self,
        file: &Found,
        content: &Content,
        terms: &Terms,
        place: Place<'_>,
        generation: u64,
    ) -> Result<Policy, String> {
        let full = place.dir.join(&file.path).display().to_string();
        let kind = PolicyKind::of(Path::new(&file.path)).unwrap_or(PolicyKind::Alert);
        let source = Source { path: &file.path, file: &full, bytes: &content.bytes };
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

    fn candidate(&self) -> Option<&Arc<Candidate>> {
        match &self.good.as_ref()?.policy {
            Policy::Candidate(candidate) => Some(candidate),
            _ => None,
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
            Some(Policy::Alert(policy)) => Some(Arc::clone(policy) as _),
            _ => None,
        }
    }

    fn entry(&self) -> Entry {
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

fn is_candidate(path: &str) -> bool {
    Path::new(path).file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with(CANDIDATE))
}

fn patience(config: &PoliciesConfig) -> Patience {
    Patience { faults: config.max_faults as usize, window: config.fault_window }
}

fn conflict(found: &[Found], dir: &Path) -> String {
    let files: Vec<_> = found.iter().map(|found| dir.join(&found.path).display().to_string()).collect();
    format!("{}: both claim the same platform; remove one", files.join(" and "))
}
