//! One hostile policy beside a good one: is it contained, and how soon?

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use tidegate::Config;
use tidegate::core::config::{PoliciesConfig, PolicyConfig};
use tidegate::core::{
    Admission, Class, Failure, Fault, HostView, LimitState, Request, Snapshot, Stats, Verdict, fallback,
};
use tidegate::policy::{Policies, PolicyKind, PolicyStatus};

use crate::corpus::{Expected, Hostile};

/// The good policy: its verdicts are known.
const OTHER: &str = r#"if attempt > 1 { give_up("permanent", "other") } else { retry("transient", "other") }"#;
/// Between two questions to the good policy: often enough to notice a standstill, and the machine has other work.
const PAUSE: Duration = Duration::from_micros(200);
/// The longest that a fault or a refusal may be told in, in bytes: it goes to logs and pages.
const MAX_WORDS: usize = 4_096;

/// What became of a hostile policy.
pub struct Report {
    /// How it ended: `fault deadline`, `refused "…"` or `answer`.
    pub got: String,
    /// What should not have happened; empty where it is contained.
    pub wrong: Vec<String>,
    /// How long loading it took.
    pub load: Duration,
    /// How long each attack took.
    pub took: Vec<Duration>,
    /// Its deadline.
    pub deadline: Duration,
    /// How often the good policy was asked meanwhile.
    pub others: u64,
}

/// How far policies may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limits {
    /// As they come, to measure them.
    Shipped,
    /// Of those that could end a policy only the one that is expected to: a busy machine changes nothing.
    Patient,
}

/// Attacks so many times, beside a policy that is asked all the while.
///
/// # Errors
/// Where the scene cannot be set.
pub fn attack(hostile: &Hostile, limits: Limits, rounds: usize) -> Result<Report, String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let told = |error: std::io::Error| format!("{}: {error}", dir.path().display());
    let folder = dir.path().join(hostile.kind.folder());
    fs::create_dir_all(dir.path().join("retry")).and_then(|()| fs::create_dir_all(&folder)).map_err(told)?;
    fs::write(dir.path().join("retry/other.rhai"), OTHER).map_err(told)?;
    let config = config(dir.path(), hostile, limits);
    let policies = Policies::open(&config);
    policies.attach(Arc::new(Figures(stats())));
    let (begun, ended) = (Barrier::new(2), AtomicBool::new(false));
    thread::scope(|scope| {
        let other = scope.spawn(|| ask_the_other(&policies, &begun, &ended));
        begun.wait();
        let scene = Scene { policies: &policies, hostile, file: folder.join(hostile.victim()), config: &config };
        let report = scene.play(rounds).map_err(told);
        ended.store(true, Ordering::Relaxed);
        let (others, trouble) = other.join().map_err(|_| "the good policy's caller panicked".to_owned())?;
        let mut report = report?;
        report.others = others;
        report.wrong.extend(trouble.map(|trouble| format!("the good policy: {trouble}")));
        Ok(report)
    })
}

fn config(dir: &Path, hostile: &Hostile, limits: Limits) -> PoliciesConfig {
    let shipped = Config::default().policies;
    let mut policy_limits = shipped.limits;
    let long = Duration::from_secs(60);
    let mut own = None;
    if limits == Limits::Patient {
        let ends = hostile.expected.is_deadline();
        own = Some(if ends { Duration::from_millis(50) } else { long });
        if ends {
            policy_limits.max_operations = u64::MAX;
        }
    }
    let victim = format!("{}/victim", hostile.kind.folder());
    let overrides =
        BTreeMap::from([(victim, PolicyConfig { deadline: own, limits: policy_limits, settings: BTreeMap::new() })]);
    // The good policy's own time is not what is looked at, and that it is set aside neither.
    let other = PolicyConfig { deadline: Some(long), limits: shipped.limits, settings: BTreeMap::new() };
    let overrides = overrides.into_iter().chain([("retry/other".to_owned(), other)]).collect();
    PoliciesConfig { dir: dir.to_owned(), max_faults: u32::MAX, overrides, ..shipped }
}

/// Asks the good policy until it is over; the answer is how often, and the first trouble.
fn ask_the_other(policies: &Policies, begun: &Barrier, ended: &AtomicBool) -> (u64, Option<String>) {
    let expected =
        [Verdict::retry(Class::Transient), Verdict::give_up(Class::Permanent)].map(|one| one.with_reason("other"));
    let failures = [1, 2].map(|attempt| Failure { platform: "other".into(), attempt, ..Failure::default() });
    let (mut asked, mut trouble) = (0, None);
    while !ended.load(Ordering::Relaxed) {
        for (failure, expected) in failures.iter().zip(&expected) {
            let decided = policies.classify(failure);
            asked += 1;
            if (&decided.verdict, &*decided.by) != (expected, "retry/other.rhai") {
                trouble.get_or_insert_with(|| format!("{decided:?}"));
            }
        }
        if asked == 2 {
            begun.wait();
        }
        thread::sleep(PAUSE);
    }
    (asked, trouble)
}

/// The same figures in every window, and one limit.
struct Figures(Stats);

impl HostView for Figures {
    fn window(&self, _: &str, _: Option<&str>, _: Duration) -> Stats {
        self.0.clone()
    }

    fn limit(&self, name: &str) -> Option<LimitState> {
        (name == "known").then_some(LimitState { available: 10, burst: 10, rate: 10.0, full_in_ms: 0 })
    }
}

fn stats() -> Stats {
    Stats { count: 666, errors: 400, error_rate: 0.6, ..Stats::default() }
}

struct Scene<'a> {
    policies: &'a Arc<Policies>,
    hostile: &'a Hostile,
    file: std::path::PathBuf,
    config: &'a PoliciesConfig,
}

impl Scene<'_> {
    fn play(&self, rounds: usize) -> std::io::Result<Report> {
        let rule = format!("[rules.victim]\npolicy = 'alerts/{}'\n", self.hostile.victim());
        fs::write(&self.file, &self.hostile.bytes)?;
        if self.hostile.kind == PolicyKind::Alert {
            fs::write(self.config.dir.join("alerts.toml"), rule)?;
        }
        let begun = Instant::now();
        let refused = self.reload();
        let load = begun.elapsed();
        let deadline = self.config.resolve(&self.path()).deadline;
        let mut report = Report { got: String::new(), wrong: vec![], load, took: vec![], deadline, others: 0 };
        let file = self.file.display().to_string();
        match refused.iter().find(|problem| problem.starts_with(&file)) {
            Some(refused) => self.was_refused(refused, &mut report),
            None => self.is_attacked(rounds, &mut report),
        }
        if !self.is_expected(&report.got) {
            report.wrong.push(format!("expected {:?}", self.hostile.expected));
        }
        Ok(report)
    }

    /// Reads the victim; one that takes long to compile is waited for.
    fn reload(&self) -> Vec<String> {
        let news = self.policies.subscribe();
        let mut refused = self.policies.reload().rejected;
        while refused.iter().any(|problem| problem.contains("still compiling")) && news.recv().is_ok() {
            refused = self.policies.reload().rejected;
        }
        refused
    }

    fn path(&self) -> String {
        format!("{}/{}", self.hostile.kind.folder(), self.hostile.victim())
    }

    fn was_refused(&self, refused: &str, report: &mut Report) {
        report.got = format!("refused: {refused}");
        let stale = self.status().and_then(|status| status.stale);
        report.check(stale.as_deref() == Some(refused), || format!("the status says {stale:?}"));
        report.check(refused.len() <= MAX_WORDS, || format!("a refusal of {} bytes", refused.len()));
        self.falls_back(None, report);
    }

    fn is_attacked(&self, rounds: usize, report: &mut Report) {
        self.is_peaceful(report);
        let mut faults = 0;
        for _ in 0..rounds {
            let begun = Instant::now();
            let answer = self.ask(true);
            report.took.push(begun.elapsed());
            report.got = match &answer {
                Ok(()) => "answer".to_owned(),
                Err(fault) => format!("fault {}", fault.kind.name()),
            };
            if let Err(fault) = &answer {
                faults += 1;
                report.check(fault.message.len() <= MAX_WORDS, || format!("a fault of {} bytes", fault.message.len()));
                self.falls_back(Some(fault), report);
            }
            self.is_peaceful(report);
        }
        let status = self.status();
        let told = status.map_or(0, |status| status.faults.values().sum());
        // Where the fallback decided, it was asked again.
        let expected = if self.hostile.kind == PolicyKind::Retry { 2 * faults } else { faults };
        report.check(told == expected, || format!("the status counts {told} faults, not {expected}"));
    }

    /// Asks the victim; an error is its fault.
    fn ask(&self, hostile: bool) -> Result<(), Fault> {
        match self.hostile.kind {
            PolicyKind::Retry => self.policies.classify(&failure(hostile)).fault.map_or(Ok(()), Err),
            PolicyKind::Admit => self.policies.admit(&request(hostile)).fault.map_or(Ok(()), Err),
            PolicyKind::Alert => {
                let stats = if hostile { stats() } else { Stats { count: 100, ..Stats::default() } };
                let view: Arc<dyn HostView> = Arc::new(Figures(stats.clone()));
                let snapshot = Snapshot { platform: "victim".into(), endpoint: None, stats };
                let rules = self.policies.rules();
                rules.first().map_or(Ok(()), |rule| rule.policy.evaluate(&snapshot, &view).map(drop))
            }
        }
    }

    fn is_peaceful(&self, report: &mut Report) {
        if let Err(fault) = self.ask(false) {
            report.wrong.push(format!("in peace: {fault}"));
        }
    }

    /// Whoever asks the victim hears the fallback.
    fn falls_back(&self, fault: Option<&Fault>, report: &mut Report) {
        if self.hostile.kind == PolicyKind::Retry {
            let failure = failure(true);
            let decided = self.policies.classify(&failure);
            let fell = (&*decided.by, &decided.verdict) == ("fallback", &fallback::classify(&failure));
            report.check(fell && decided.fault.is_some() == fault.is_some(), || format!("decided: {decided:?}"));
        }
        if self.hostile.kind == PolicyKind::Admit && fault.is_none() {
            let decided = self.policies.admit(&request(true));
            report.check(decided.verdict == Admission::Default, || format!("decided: {decided:?}"));
        }
    }

    fn status(&self) -> Option<PolicyStatus> {
        let path = self.path();
        self.policies.status().into_iter().find(|status| status.path == path)
    }

    fn is_expected(&self, got: &str) -> bool {
        match &self.hostile.expected {
            Expected::Answer => got == "answer",
            Expected::Refused(words) => got.starts_with("refused: ") && got.contains(words.as_str()),
            Expected::Fault(kinds) => kinds.iter().any(|kind| got == format!("fault {kind}")),
        }
    }
}

impl Report {
    fn check(&mut self, holds: bool, wrong: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(wrong());
        }
    }

    /// The time that so many of a hundred attacks took at most.
    #[must_use]
    pub fn at(&self, of_hundred: usize) -> Option<Duration> {
        let mut took = self.took.clone();
        took.sort();
        took.get((took.len() * of_hundred).div_ceil(100).saturating_sub(1)).copied()
    }
}

fn failure(hostile: bool) -> Failure {
    let message = if hostile { "attack" } else { "peace" };
    Failure {
        platform: "victim".into(),
        attempt: if hostile { 2 } else { 1 },
        status: Some(503),
        sub_code: hostile.then(|| "assault".into()),
        message: Some(message.into()),
        ..Failure::default()
    }
}

fn request(hostile: bool) -> Request {
    let method = if hostile { "ATTACK" } else { "GET" };
    Request { platform: "victim".into(), method: method.into(), ..Request::default() }
}
