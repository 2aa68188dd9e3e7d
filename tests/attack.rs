//! Attacks one hostile policy while a valid policy runs beside it, and reports whether and how fast it was contained.

use std::fs;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use tidegate::SystemClock;
use tidegate_core::config::{PoliciesConfig, PolicyConfig};
use tidegate_core::{
    Admission, Class, Failure, Fault, HostView, LimitStatus, Quota, Request, Snapshot, Stats, Verdict, fallback,
};
use tidegate_policy::{Policies, PolicyKind, PolicyStatus};

use crate::corpus::{ExpectedOutcome, HostilePolicy};

/// The valid policy, whose verdicts are known.
const VALID_POLICY: &str = r#"if attempt > 1 { give_up("permanent", "valid") } else { retry("transient", "valid") }"#;
/// The time between two rounds of calls to the valid policy. It is short enough to notice when the policy has to wait,
/// and long enough to leave the processor to the attack.
const PAUSE: Duration = Duration::from_micros(200);
/// The maximum size of the message of a fault or of a rejection, in bytes. Logs and notifications contain it.
const MAX_MESSAGE_SIZE: usize = 4_096;

/// The platform of every call to the hostile policy, and the file name of the policy without its extension.
///
/// Some policies of the corpus recognize the sub-code of an attack by its size of 7 bytes. No other string of the input
/// may have that size.
const PLATFORM: &str = "attacker";

/// The result of the attacks by one hostile policy.
#[derive(Debug)]
pub struct AttackReport {
    /// The outcome: `fault KIND`, `rejected: ERROR` or `verdict`.
    pub outcome: String,
    /// The violated requirements; empty if the policy is contained.
    pub violations: Vec<String>,
    /// The time to load the policy.
    pub load_time: Duration,
    /// The time of each attack.
    pub attack_times: Vec<Duration>,
    /// The deadline of the policy.
    pub deadline: Duration,
    /// The number of calls to the valid policy during the attacks.
    pub valid_calls: u64,
}

/// The limits on the hostile policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitProfile {
    /// The default limits, to measure how fast they end a policy.
    Default,
    /// Only the limit that the file expects can end the policy, so that the outcome is the same on a busy machine.
    ExpectedOnly,
}

/// Attacks `rounds` times, while another thread calls a valid policy.
///
/// # Errors
/// Returns a message if the environment of the test cannot be created.
pub fn attack(hostile: &HostilePolicy, profile: LimitProfile, rounds: usize) -> Result<AttackReport, String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let io_error = |error: std::io::Error| format!("{}: {error}", dir.path().display());
    let folder = dir.path().join(hostile.kind.folder());
    fs::create_dir_all(dir.path().join("retry")).and_then(|()| fs::create_dir_all(&folder)).map_err(io_error)?;
    fs::write(dir.path().join("retry/valid.rhai"), VALID_POLICY).map_err(io_error)?;
    let config = config(dir.path(), hostile, profile);
    let policies = Policies::open(&config);
    policies.attach(Arc::new(FixedView(stats())), Arc::new(SystemClock::new()));
    let (started, done) = (Barrier::new(2), AtomicBool::new(false));
    thread::scope(|scope| {
        let valid_caller = scope.spawn(|| call_valid_policy(&policies, &started, &done));
        started.wait();
        let file = folder.join(hostile.loaded_name());
        let report = AttackRun { policies: &policies, hostile, file, config: &config }.run(rounds).map_err(io_error);
        done.store(true, Ordering::Relaxed);
        let caller_result = valid_caller.join();
        let (valid_calls, wrong_decision) =
            caller_result.map_err(|_| "the thread that calls the valid policy panicked".to_owned())?;
        let mut report = report?;
        report.valid_calls = valid_calls;
        report
            .violations
            .extend(wrong_decision.map(|decision| format!("wrong decision of the valid policy: {decision}")));
        Ok(report)
    })
}

fn config(dir: &Path, hostile: &HostilePolicy, profile: LimitProfile) -> PoliciesConfig {
    let defaults = PoliciesConfig::default();
    let mut limits = defaults.limits;
    let long = Duration::from_secs(60);
    let mut deadline = None;
    if profile == LimitProfile::ExpectedOnly {
        let ends_by_deadline = hostile.expected.is_deadline();
        deadline = Some(if ends_by_deadline { Duration::from_millis(50) } else { long });
        if ends_by_deadline {
            limits.max_operations = u64::MAX;
        }
    }
    // The valid policy gets a long deadline, because its own speed is not under test.
    let valid = PolicyConfig::new(defaults.limits).with_deadline(long);
    let mut attacker = PolicyConfig::new(limits);
    attacker.deadline = deadline;
    // No policy is quarantined.
    defaults
        .with_dir(dir)
        .with_max_faults(u32::MAX)
        .with_override("retry/valid", valid)
        .with_override(format!("{}/{PLATFORM}", hostile.kind.folder()), attacker)
}

/// Calls the valid policy until `done`. Returns the number of calls, and the first wrong decision.
fn call_valid_policy(policies: &Policies, started: &Barrier, done: &AtomicBool) -> (u64, Option<String>) {
    let expected = [Verdict::retry(Class::Transient), Verdict::give_up(Class::Permanent)]
        .map(|verdict| verdict.with_reason("valid"));
    let failures = [1, 2].map(|attempt| Failure::default().with_platform("valid").with_attempt(attempt));
    let (mut calls, mut wrong_decision) = (0, None);
    while !done.load(Ordering::Relaxed) {
        for (failure, expected) in failures.iter().zip(&expected) {
            let decision = policies.classify(failure);
            calls += 1;
            if (&decision.verdict, &*decision.policy) != (expected, "retry/valid.rhai") {
                wrong_decision.get_or_insert_with(|| format!("{decision:?}"));
            }
        }
        if calls == 2 {
            started.wait();
        }
        thread::sleep(PAUSE);
    }
    (calls, wrong_decision)
}

/// A view with the same statistics in every window, and one limit.
struct FixedView(Stats);

/// The rate and the burst of the known limit.
const TEN: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

impl HostView for FixedView {
    fn window(&self, _: &str, _: Option<&str>, _: Duration) -> Stats {
        self.0.clone()
    }

    fn limit(&self, name: &str) -> Option<LimitStatus> {
        (name == "known").then_some(LimitStatus::full(Quota::per_second(TEN)))
    }
}

fn stats() -> Stats {
    let mut stats = Stats::default();
    (stats.count, stats.errors, stats.error_rate) = (666, 400, 0.6);
    stats
}

struct AttackRun<'a> {
    policies: &'a Arc<Policies>,
    hostile: &'a HostilePolicy,
    file: std::path::PathBuf,
    config: &'a PoliciesConfig,
}

impl AttackRun<'_> {
    /// Loads the hostile policy and, if it loads, attacks.
    fn run(&self, rounds: usize) -> std::io::Result<AttackReport> {
        let rule = format!("[rules.attacker]\npolicy = 'alerts/{}'\n", self.hostile.loaded_name());
        fs::write(&self.file, &self.hostile.bytes)?;
        if self.hostile.kind == PolicyKind::Alert {
            fs::write(self.config.dir.join("alerts.toml"), rule)?;
        }
        let started_at = Instant::now();
        let errors = self.reload();
        let mut report = AttackReport {
            outcome: String::new(),
            violations: vec![],
            load_time: started_at.elapsed(),
            attack_times: vec![],
            deadline: self.config.resolve(&self.path()).deadline,
            valid_calls: 0,
        };
        let file = self.file.display().to_string();
        match errors.iter().find(|error| error.starts_with(&file)) {
            Some(error) => self.check_rejection(error, &mut report),
            None => self.attack(rounds, &mut report),
        }
        if !self.is_expected(&report.outcome) {
            report.violations.push(format!("expected {:?}", self.hostile.expected));
        }
        Ok(report)
    }

    /// Loads the hostile policy, and waits until it is compiled. Returns the errors.
    fn reload(&self) -> Vec<String> {
        let mut changes = self.policies.subscribe();
        let mut errors: Vec<_> = self.policies.reload().rejected.into_values().collect();
        while errors.iter().any(|error| error.contains("still compiling")) && changes.next().is_some() {
            errors = self.policies.reload().rejected.into_values().collect();
        }
        errors
    }

    fn path(&self) -> String {
        format!("{}/{}", self.hostile.kind.folder(), self.hostile.loaded_name())
    }

    fn check_rejection(&self, error: &str, report: &mut AttackReport) {
        report.outcome = format!("rejected: {error}");
        let stale = self.status().and_then(|status| status.stale);
        report.require(stale.as_deref() == Some(error), || format!("the status contains {stale:?}"));
        report.require(error.len() <= MAX_MESSAGE_SIZE, || format!("a rejection of {} bytes", error.len()));
        self.check_fallback(None, report);
    }

    fn attack(&self, rounds: usize, report: &mut AttackReport) {
        self.check_normal_call(report);
        let mut faults = 0;
        for _ in 0..rounds {
            let started_at = Instant::now();
            let result = self.call(true);
            report.attack_times.push(started_at.elapsed());
            report.outcome = match &result {
                Ok(()) => "verdict".to_owned(),
                Err(fault) => format!("fault {}", fault.kind),
            };
            if let Err(fault) = &result {
                faults += 1;
                let size = fault.message.len();
                report.require(size <= MAX_MESSAGE_SIZE, || format!("a fault of {size} bytes"));
                self.check_fallback(Some(fault), report);
            }
            self.check_normal_call(report);
        }
        let counted = self.status().map_or(0, |status| status.faults.values().sum());
        // The check of the fallback calls a retry policy once more.
        let expected = if self.hostile.kind == PolicyKind::Retry { 2 * faults } else { faults };
        report.require(counted == expected, || format!("the status counts {counted} faults, expected {expected}"));
    }

    /// Calls the hostile policy, with the input of an attack or with normal input.
    ///
    /// # Errors
    /// Returns the fault of the policy.
    fn call(&self, hostile: bool) -> Result<(), Fault> {
        match self.hostile.kind {
            PolicyKind::Retry => self.policies.classify(&failure(hostile)).fault.map_or(Ok(()), Err),
            PolicyKind::Admit => self.policies.admit(&request(hostile)).fault.map_or(Ok(()), Err),
            PolicyKind::Alert => {
                let mut stats = stats();
                if !hostile {
                    stats = Stats::default();
                    stats.count = 100;
                }
                let view: Arc<dyn HostView> = Arc::new(FixedView(stats.clone()));
                let snapshot = Snapshot::new(PLATFORM, stats);
                let rules = self.policies.rules();
                rules.first().map_or(Ok(()), |rule| rule.policy.evaluate(&snapshot, &view).map(drop))
            }
        }
    }

    fn check_normal_call(&self, report: &mut AttackReport) {
        if let Err(fault) = self.call(false) {
            report.violations.push(format!("fault on normal input: {fault}"));
        }
    }

    /// Checks that the caller gets the verdict of the fallback.
    fn check_fallback(&self, fault: Option<&Fault>, report: &mut AttackReport) {
        if self.hostile.kind == PolicyKind::Retry {
            let failure = failure(true);
            let decision = self.policies.classify(&failure);
            let is_fallback = (&*decision.policy, &decision.verdict) == ("fallback", &fallback::classify(&failure));
            let holds = is_fallback && decision.fault.is_some() == fault.is_some();
            report.require(holds, || format!("expected the fallback, found {decision:?}"));
        }
        if self.hostile.kind == PolicyKind::Admit && fault.is_none() {
            let decision = self.policies.admit(&request(true));
            report.require(decision.verdict == Admission::Default, || {
                format!("expected the default verdict, found {decision:?}")
            });
        }
    }

    fn status(&self) -> Option<PolicyStatus> {
        let path = self.path();
        self.policies.status().into_iter().find(|status| status.path == path)
    }

    fn is_expected(&self, outcome: &str) -> bool {
        match &self.hostile.expected {
            ExpectedOutcome::Verdict => outcome == "verdict",
            ExpectedOutcome::Rejected(text) => outcome.starts_with("rejected: ") && outcome.contains(text.as_str()),
            ExpectedOutcome::Fault(kinds) => kinds.iter().any(|kind| outcome == format!("fault {kind}")),
        }
    }
}

impl AttackReport {
    fn require(&mut self, holds: bool, violation: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(violation());
        }
    }

    /// Returns the time within which `percent` percent of the attacks ended.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Option<Duration> {
        percentile(&self.attack_times, percent)
    }
}

/// Returns a percentile of some durations, or `None` if there are none.
#[must_use]
pub fn percentile(durations: &[Duration], percent: usize) -> Option<Duration> {
    let mut sorted = durations.to_vec();
    sorted.sort();
    sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied()
}

fn failure(hostile: bool) -> Failure {
    let message = if hostile { "attack" } else { "normal" };
    let mut failure = Failure::response(503)
        .with_platform(PLATFORM)
        .with_attempt(if hostile { 2 } else { 1 })
        .with_message(message)
        .with_body(message.as_bytes());
    failure.sub_code = hostile.then(|| "assault".into());
    failure
}

fn request(hostile: bool) -> Request {
    let method = if hostile { "ATTACK" } else { "GET" };
    Request::new(PLATFORM).with_method(method)
}
