//! Fuzz targets of the loaders: scripts, components, rules and the configuration.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::config::Parser;
use tidegate_core::config::reader::{Diagnostic, Position};
use tidegate_core::{Action, Class, Failure, Request, Snapshot, Stats, Verdict};
use tidegate_policy::{Policies, PolicyKind};
use tidegate_tests::corpus::{self, HostilePolicy};

use super::{MAX_MESSAGE, assert_position_in, files, fuzz, root};
use crate::policies::{empty_view, policies_config};

/// A policy directory with one valid policy, into which the fuzz target writes its inputs.
struct TestDir {
    root: tempfile::TempDir,
    policies: Arc<Policies>,
}

impl TestDir {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for kind in ["retry", "alerts", "admit"] {
            fs::create_dir(root.path().join(kind)).unwrap();
        }
        fs::write(root.path().join("retry/other.rhai"), "retry(\"transient\")").unwrap();
        let mut config = policies_config(root.path()).with_max_faults(u32::MAX);
        config.limits.max_operations = 20_000;
        (config.retry_deadline, config.alert_deadline) = (Duration::from_millis(200), Duration::from_millis(200));
        config.admit_deadline = config.retry_deadline;
        Self { policies: Policies::open(&config), root }
    }

    /// Saves an input and reloads. Returns the error if the file was rejected.
    fn save(&self, path: &str, input: &[u8]) -> Option<String> {
        fs::write(self.root.path().join(path), input).unwrap();
        let rejected = self.policies.reload().rejected;
        assert!(rejected.values().all(|error| !error.contains("panicked")), "{rejected:?}");
        let error =
            self.policies.status().into_iter().find(|status| status.path == path).and_then(|status| status.stale);
        if let Some(error) = &error {
            assert_eq!(rejected.get(path), Some(error));
            assert!(error.len() <= MAX_MESSAGE, "an error of {} bytes", error.len());
        }
        error
    }

    /// Asserts that the position of every error is in the text.
    fn assert_positions(&self, path: &str, errors: &str, text: &str) {
        let file = self.root.path().join(path).display().to_string();
        for line in errors.split(&format!("{file}:")).skip(1) {
            let mut parts = line.splitn(3, ':');
            let mut number = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
            assert_position_in(&Diagnostic::new(Position { line: number(), column: number() }, line), text);
        }
    }

    /// Calls all policies. The valid policy returns its verdict as always; the others return a verdict or a fault.
    fn call_policies(&self) {
        let failure = |platform: &str, attempt| Failure::default().with_platform(platform).with_attempt(attempt);
        let other = self.policies.classify(&failure("other", 1));
        assert_eq!((other.verdict, other.fault), (Verdict::retry(Class::Transient), None));
        let attack = failure("fuzz", 2).with_message("attack").with_status(429);
        for failure in [failure("fuzz", 1), attack] {
            let decision = self.policies.classify(&failure);
            assert!(decision.verdict.action == Action::Default || decision.verdict.class.is_some(), "{decision:?}");
            assert_valid_fault(decision.fault.map(|fault| fault.message));
        }
        for method in ["GET", "ATTACK"] {
            let request = Request::new("fuzz").with_method(method);
            assert_valid_fault(self.policies.admit(&request).fault.map(|fault| fault.message));
        }
        for rule in &*self.policies.rules() {
            let mut stats = Stats::default();
            stats.count = 666;
            stats.error_rate = 0.6;
            let snapshot = Snapshot::new("fuzz", stats);
            assert_valid_fault(rule.policy.evaluate(&snapshot, &empty_view()).err().map(|fault| fault.message));
        }
    }
}

/// Asserts that a fault is short and is not a panic of the host.
fn assert_valid_fault(fault: Option<String>) {
    let fault = fault.unwrap_or_default();
    assert!(!fault.contains("panicked"), "{fault}");
    assert!(fault.len() <= MAX_MESSAGE, "a fault of {} bytes", fault.len());
}

/// Returns the files of the corpus that load quickly.
fn hostile(ending: &str) -> Vec<HostilePolicy> {
    let names = corpus::files().unwrap();
    let names = names.iter().filter(|path| path.to_string_lossy().ends_with(ending));
    let policies = names.map(|path| HostilePolicy::read(path).unwrap());
    policies.filter(|file| !format!("{:?}", file.expected).contains("ran longer")).collect()
}

#[test]
fn scripts() {
    let dir = TestDir::new();
    fs::write(dir.root.path().join("alerts.toml"), "[rules.fuzz]\npolicy = 'alerts/fuzz.rhai'\n").unwrap();
    let mut seeds = files(&root().join("policies"), ".rhai");
    seeds.extend(hostile(".rhai").into_iter().map(|file| file.bytes));
    fuzz("scripts", seeds, |input| {
        for &kind in PolicyKind::ALL {
            let path = format!("{}/fuzz.rhai", kind.folder());
            if let Some(error) = dir.save(&path, input) {
                dir.assert_positions(&path, &error, &String::from_utf8_lossy(input));
            }
        }
        dir.call_policies();
    });
}

#[test]
fn components() {
    let dir = TestDir::new();
    let mut seeds = files(&root().join("tests/frozen"), ".wasm");
    seeds.extend(hostile(".wat").into_iter().map(|file| file.bytes));
    fuzz("components", seeds, |input| {
        dir.save("retry/fuzz.wasm", input);
        dir.call_policies();
    });
}

#[test]
fn components_from_text() {
    let dir = TestDir::new();
    let shells = files(&corpus::dir().join("shells"), ".wat");
    let shell = |name: &str| fs::read_to_string(corpus::dir().join("shells").join(name)).unwrap();
    let retry = shell("retry.wat");
    assert!(shells.len() >= 5, "{}", shells.len());
    // Only the guest is mutated. The shell around it stays valid.
    let guests = files(&corpus::dir(), ".wat")
        .into_iter()
        .filter(|text| text.windows(11).any(|window| window == b"core module"));
    fuzz("components_from_text", guests.collect(), |input| {
        let text = retry.replace("{guest}", &String::from_utf8_lossy(input));
        let Ok(bytes) = wat::parse_str(text) else { return };
        dir.save("retry/fuzz.wasm", &bytes);
        dir.call_policies();
    });
}

#[test]
fn rules() {
    let dir = TestDir::new();
    let script = "error_rate > 0.5";
    fs::write(dir.root.path().join("alerts/burn_rate.rhai"), script).unwrap();
    let mut seeds = files(&root().join("policies"), "alerts.toml");
    seeds.push(b"[rules.a]\ncondition = '''\nif count == 666 { loop {} }\nerror_rate > 0.5'''\n".to_vec());
    seeds.push("[rules.\"限\"]\ncondition = \"p95 > 5\\u0030\\n\\t|| true\"\nplatforms = [\"a\", 'b']\n".into());
    fuzz("rules", seeds, |input| {
        if let Some(error) = dir.save("alerts.toml", input) {
            dir.assert_positions("alerts.toml", &error, &String::from_utf8_lossy(input));
        }
        dir.call_policies();
    });
}

#[test]
fn configuration() {
    let shipped = fs::read_to_string(root().join("tidegate.toml")).unwrap();
    // The commented-out settings are seeds too.
    let uncommented = shipped.replace("\n# ", "\n");
    let sections = uncommented.split("\n\n").map(|section| section.as_bytes().to_vec());
    let preset = "presets = [\"platforms\"]\n".to_owned();
    let seeds =
        sections.chain([preset.into_bytes(), shipped.clone().into_bytes(), uncommented.clone().into_bytes()]).collect();
    let kinds = tidegate_notify::channel_kinds();
    fuzz("configuration", seeds, |input| {
        let text = String::from_utf8_lossy(input);
        match Parser::new().channel_kinds(&kinds).parse(&text) {
            Ok(config) => assert!(config.policies.limits.max_instances > 0),
            Err(errors) => {
                assert_ne!(errors.iter().len(), 0);
                errors.iter().for_each(|error| assert_position_in(error, &text));
            }
        }
    });
}
