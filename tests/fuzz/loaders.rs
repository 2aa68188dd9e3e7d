//! What reads what people save: scripts, components, rules and the configuration.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::config::reader::Diagnostic;
use tidegate_core::config::{Config, Env, PoliciesConfig};
use tidegate_core::{Action, Class, Failure, Request, Snapshot, Stats, Verdict};
use tidegate_policy::{Policies, PolicyKind};
use tidegate_tests::corpus::{self, Hostile};

use super::{MAX_WORDS, files, fuzz, root, stands_in};
use crate::policies::{empty_view, policies_config};

/// A directory of policies with one good one, into which inputs are written.
struct Bench {
    dir: tempfile::TempDir,
    policies: Arc<Policies>,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for kind in ["retry", "alerts", "admit"] {
            fs::create_dir(dir.path().join(kind)).unwrap();
        }
        fs::write(dir.path().join("retry/other.rhai"), "retry(\"transient\")").unwrap();
        let mut config = PoliciesConfig { max_faults: u32::MAX, ..policies_config(dir.path()) };
        config.limits.max_operations = 20_000;
        (config.retry_deadline, config.alert_deadline) = (Duration::from_millis(200), Duration::from_millis(200));
        config.admit_deadline = config.retry_deadline;
        Self { policies: Policies::open(&config), dir }
    }

    /// Saves an input; the answer is why it was refused.
    fn save(&self, path: &str, input: &[u8]) -> Option<String> {
        fs::write(self.dir.path().join(path), input).unwrap();
        let refused = self.policies.reload().rejected;
        assert!(refused.iter().all(|problem| !problem.contains("panicked")), "{refused:?}");
        let told =
            self.policies.status().into_iter().find(|status| status.path == path).and_then(|status| status.stale);
        if let Some(told) = &told {
            assert!(refused.contains(told), "{told:?} is not among {refused:?}");
            assert!(told.len() <= MAX_WORDS, "a refusal of {} bytes", told.len());
        }
        told
    }

    /// The problems of a text, each at its place.
    fn places(&self, path: &str, refused: &str, text: &str) {
        let file = self.dir.path().join(path).display().to_string();
        for line in refused.split(&format!("{file}:")).skip(1) {
            let mut parts = line.splitn(3, ':');
            let mut number = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
            stands_in(&Diagnostic { line: number(), column: number(), message: line.to_owned() }, text);
        }
    }

    /// Asks everything; the good policy answers as ever, and the others with a verdict or a fault.
    fn ask(&self) {
        let failure = |platform: &str, attempt| Failure { platform: platform.into(), attempt, ..Failure::default() };
        let other = self.policies.classify(&failure("other", 1));
        assert_eq!((other.verdict, other.fault), (Verdict::retry(Class::Transient), None));
        let attack = Failure { message: Some("attack".into()), status: Some(429), ..failure("fuzz", 2) };
        for failure in [failure("fuzz", 1), attack] {
            let decided = self.policies.classify(&failure);
            assert!(decided.verdict.action == Action::Default || decided.verdict.class.is_some(), "{decided:?}");
            self.sound(decided.fault.map(|fault| fault.message));
        }
        for method in ["GET", "ATTACK"] {
            let request = Request { platform: "fuzz".into(), method: method.into(), ..Request::default() };
            self.sound(self.policies.admit(&request).fault.map(|fault| fault.message));
        }
        for rule in &*self.policies.rules() {
            let stats = Stats { count: 666, error_rate: 0.6, ..Stats::default() };
            let snapshot = Snapshot { platform: "fuzz".into(), endpoint: None, stats };
            self.sound(rule.policy.evaluate(&snapshot, &empty_view()).err().map(|fault| fault.message));
        }
    }

    fn sound(&self, fault: Option<String>) {
        let fault = fault.unwrap_or_default();
        assert!(!fault.contains("panicked"), "{fault}");
        assert!(fault.len() <= MAX_WORDS, "a fault of {} bytes", fault.len());
    }
}

/// The corpus, as far as it loads within a moment.
fn hostile(ending: &str) -> Vec<Hostile> {
    let names = corpus::files().unwrap();
    let names = names.iter().filter(|path| path.to_string_lossy().ends_with(ending));
    let files = names.map(|path| Hostile::read(path).unwrap());
    files.filter(|file| !format!("{:?}", file.expected).contains("ran longer")).collect()
}

const KINDS: [PolicyKind; 3] = [PolicyKind::Retry, PolicyKind::Alert, PolicyKind::Admit];

#[test]
fn scripts() {
    let bench = Bench::new();
    fs::write(bench.dir.path().join("alerts.toml"), "[rules.fuzz]\npolicy = 'alerts/fuzz.rhai'\n").unwrap();
    let mut seeds = files(&root().join("policies"), ".rhai");
    seeds.extend(hostile(".rhai").into_iter().map(|file| file.bytes));
    fuzz("scripts", seeds, |input| {
        for kind in KINDS {
            let path = format!("{}/fuzz.rhai", kind.folder());
            if let Some(refused) = bench.save(&path, input) {
                bench.places(&path, &refused, &String::from_utf8_lossy(input));
            }
        }
        bench.ask();
    });
}

#[test]
fn components() {
    let bench = Bench::new();
    let mut seeds = files(&root().join("tests/frozen"), ".wasm");
    seeds.extend(hostile(".wat").into_iter().map(|file| file.bytes));
    fuzz("components", seeds, |input| {
        bench.save("retry/fuzz.wasm", input);
        bench.ask();
    });
}

#[test]
fn components_from_text() {
    let bench = Bench::new();
    let shells = files(&corpus::dir().join("shells"), ".wat");
    let shell = |name: &str| fs::read_to_string(corpus::dir().join("shells").join(name)).unwrap();
    let retry = shell("retry.wat");
    assert!(shells.len() >= 5, "{}", shells.len());
    // The guests are what is changed: a shell around another guest is still one.
    let guests =
        files(&corpus::dir(), ".wat").into_iter().filter(|text| text.windows(11).any(|here| here == b"core module"));
    fuzz("components_from_text", guests.collect(), |input| {
        let text = retry.replace("{guest}", &String::from_utf8_lossy(input));
        let Ok(bytes) = wat::parse_str(text) else { return };
        bench.save("retry/fuzz.wasm", &bytes);
        bench.ask();
    });
}

#[test]
fn rules() {
    let bench = Bench::new();
    let script = "error_rate > 0.5";
    fs::write(bench.dir.path().join("alerts/burn_rate.rhai"), script).unwrap();
    let mut seeds = files(&root().join("policies"), "alerts.toml");
    seeds.push(b"[rules.a]\ncondition = '''\nif count == 666 { loop {} }\nerror_rate > 0.5'''\n".to_vec());
    seeds.push("[rules.\"限\"]\ncondition = \"p95 > 5\\u0030\\n\\t|| true\"\nplatforms = [\"a\", 'b']\n".into());
    fuzz("rules", seeds, |input| {
        if let Some(refused) = bench.save("alerts.toml", input) {
            bench.places("alerts.toml", &refused, &String::from_utf8_lossy(input));
        }
        bench.ask();
    });
}

/// An environment in which nothing is set.
struct Bare;

impl Env for Bare {
    fn var(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &Path) -> Result<String, String> {
        Err("not here".to_owned())
    }
}

#[test]
fn configuration() {
    let shipped = fs::read_to_string(root().join("tidegate.toml")).unwrap();
    // What is commented out is there to be used, too.
    let used = shipped.replace("\n# ", "\n");
    let sections = used.split("\n\n").map(|section| section.as_bytes().to_vec());
    let seeds = sections.chain([shipped.clone().into_bytes(), used.clone().into_bytes()]).collect();
    fuzz("configuration", seeds, |input| {
        let text = String::from_utf8_lossy(input);
        match Config::parse(&text, &Bare) {
            Ok(config) => assert!(config.policies.limits.max_instances > 0),
            Err(problems) => {
                assert!(!problems.is_empty());
                problems.iter().for_each(|problem| stands_in(problem, &text));
            }
        }
    });
}
