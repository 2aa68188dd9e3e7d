//! Reloads of policies and rules that change while they are active.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tidegate_core::{AlertVerdict, Failure, FnHostView, HostView, Snapshot, Stats};
use tidegate_policy::{Generations, Policies, PolicyStatus, Watch};
use tidegate_tests::corpus::HostilePolicy;

use crate::policies::policies_config;

const GOOD: &str = "retry(\"transient\", \"good\")";
const BETTER: &str = "retry(\"transient\", \"better\")";

/// A temporary policy directory.
struct TestDir {
    temp: TempDir,
}

impl TestDir {
    fn new() -> Self {
        let dir = Self { temp: tempfile::tempdir().unwrap() };
        for folder in ["retry", "alerts"] {
            fs::create_dir_all(dir.root().join(folder)).unwrap();
        }
        dir
    }

    /// Returns the policy directory. Its parent belongs to the test too, so the test can move the directory.
    fn root(&self) -> std::path::PathBuf {
        self.temp.path().join("policies")
    }

    fn write(&self, path: &str, text: &str) -> &Self {
        fs::write(self.root().join(path), text).unwrap();
        self
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.root().join(path)).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.root().join(from), self.root().join(to)).unwrap();
    }

    fn open(&self) -> Arc<Policies> {
        Policies::open(&policies_config(&self.root()))
    }

    fn watch(&self) -> WatchedPolicies {
        let policies = self.open();
        let generations = policies.subscribe();
        let watch = policies.watch().unwrap();
        WatchedPolicies { policies, generations, _watch: watch }
    }
}

/// Policies whose directory is watched until this is dropped.
struct WatchedPolicies {
    policies: Arc<Policies>,
    generations: Generations,
    _watch: Watch,
}

impl WatchedPolicies {
    /// Waits until the retry policy of `taobao` returns this reason.
    #[track_caller]
    fn wait_for_reason(&self, expected: &str) {
        while reason(&self.policies) != expected {
            let generation = self.generations.next_within(Duration::from_secs(30));
            assert!(generation.is_some(), "{expected:?} did not become active: {:#?}", self.policies.status());
        }
    }
}

/// Returns the reason of the verdict for `taobao`, or `fallback` if no policy decided.
fn reason(policies: &Policies) -> String {
    let failure = Failure::response(503).with_platform("taobao");
    let decision = policies.classify(&failure);
    if &*decision.policy == "fallback" { "fallback".to_owned() } else { decision.verdict.reason.unwrap_or_default() }
}

fn status_of(policies: &Policies, path: &str) -> PolicyStatus {
    let status = policies.status().into_iter().find(|status| status.path == path);
    status.unwrap_or_else(|| panic!("no {path} in {:#?}", policies.status()))
}

/// Returns the error of a file, with paths relative to the policy directory.
fn stale_error(policies: &Policies, path: &str) -> String {
    let error = status_of(policies, path).stale.expect("the file is stale");
    error.replace(&format!("{}/", policies.dir().display()), "")
}

/// Returns the rules that fire at an error rate.
fn firing_rules(policies: &Policies, error_rate: f64) -> Vec<String> {
    let mut stats = Stats::default();
    stats.count = 100;
    stats.error_rate = error_rate;
    let snapshot = Snapshot::new("taobao", stats.clone());
    let view: Arc<dyn HostView> = Arc::new(FnHostView(move |_| stats.clone()));
    let fires = |verdict| matches!(verdict, AlertVerdict::Firing { .. });
    let rules = policies.rules();
    let firing = rules.iter().filter(|rule| fires(rule.policy.evaluate(&snapshot, &view).unwrap()));
    firing.map(|rule| rule.name.clone()).collect()
}

#[test]
fn edit_becomes_active_without_a_restart() {
    let dir = TestDir::new();
    dir.write("retry/taobao.rhai", GOOD);
    let watched = dir.watch();
    watched.wait_for_reason("good");
    dir.write("retry/taobao.rhai", BETTER);
    watched.wait_for_reason("better");
}

#[test]
fn edit_by_rename_is_detected() {
    let dir = TestDir::new();
    dir.write("retry/taobao.rhai", GOOD);
    let watched = dir.watch();
    for reason in ["one", "two", "three"] {
        dir.write("retry/.taobao.rhai.swp", "").write("retry/4913", "");
        dir.remove("retry/4913");
        dir.rename("retry/taobao.rhai", "retry/taobao.rhai~");
        dir.write("retry/taobao.rhai", &format!("retry(\"transient\", \"{reason}\")"));
        dir.remove("retry/taobao.rhai~");
        watched.wait_for_reason(reason);
    }
}

#[test]
fn deleted_policy_is_replaced_by_the_next_in_the_chain() {
    let dir = TestDir::new();
    dir.write("retry/taobao.rhai", GOOD).write("retry/default.rhai", BETTER);
    let watched = dir.watch();
    watched.wait_for_reason("good");
    dir.remove("retry/taobao.rhai");
    watched.wait_for_reason("better");
    dir.remove("retry/default.rhai");
    watched.wait_for_reason("fallback");
}

#[test]
fn change_of_a_config_map_symlink_is_detected() {
    let dir = TestDir::new();
    let root = dir.root();
    fs::remove_dir_all(&root).unwrap();
    let version = |name: &str, script: &str| {
        fs::create_dir_all(root.join(name).join("retry")).unwrap();
        fs::write(root.join(name).join("retry/taobao.rhai"), script).unwrap();
    };
    version("..2026_11_23", GOOD);
    symlink("..2026_11_23", root.join("..data")).unwrap();
    symlink("..data/retry", root.join("retry")).unwrap();
    let watched = dir.watch();
    watched.wait_for_reason("good");
    version("..2026_11_24", BETTER);
    symlink("..2026_11_24", root.join("..data_tmp")).unwrap();
    dir.rename("..data_tmp", "..data");
    fs::remove_dir_all(root.join("..2026_11_23")).unwrap();
    watched.wait_for_reason("better");
}

#[test]
fn missing_directory_can_appear_and_be_replaced() {
    let dir = TestDir::new();
    fs::remove_dir_all(dir.root()).unwrap();
    let watched = dir.watch();
    watched.wait_for_reason("fallback");
    let create = |script: &str| {
        fs::create_dir_all(dir.root().join("retry")).unwrap();
        dir.write("retry/taobao.rhai", script);
    };
    create(GOOD);
    watched.wait_for_reason("good");
    fs::rename(dir.root(), dir.temp.path().join("moved away")).unwrap();
    create(BETTER);
    watched.wait_for_reason("better");
}

#[test]
fn policies_stay_active_if_their_directory_is_missing() {
    let dir = TestDir::new();
    dir.write("retry/taobao.rhai", GOOD);
    let policies = dir.open();
    fs::rename(dir.root(), dir.temp.path().join("gone")).unwrap();
    let report = policies.reload();
    assert!(report.rejected.values().all(|error| error.contains("the last good policies stay active")), "{report:?}");
    assert_eq!(reason(&policies), "good");
    fs::rename(dir.temp.path().join("gone"), dir.root()).unwrap();
    assert_eq!(policies.reload().rejected, BTreeMap::new());
}

#[test]
fn partly_written_file_keeps_the_last_good_version_active() {
    let dir = TestDir::new();
    dir.write("retry/taobao.rhai", GOOD);
    let policies = dir.open();
    let (half, _) = BETTER.split_at(20);
    for part in [half, "", "retry(\"trans"] {
        dir.write("retry/taobao.rhai", part);
        policies.reload();
        assert_eq!(reason(&policies), "good", "{part:?}");
    }
    dir.write("retry/taobao.rhai", BETTER);
    assert_eq!(policies.reload().rejected, BTreeMap::new());
    assert_eq!(reason(&policies), "better");
}

#[test]
fn invalid_edit_keeps_the_last_good_version_and_reports_the_position() {
    let dir = TestDir::new();
    dir.write("retry/taobao.rhai", GOOD).write("retry/jd.rhai", GOOD);
    let policies = dir.open();
    let generations = policies.subscribe();
    dir.write("retry/taobao.rhai", "if status == 503 {\n  retry(\"transient\", stauts)\n} else { abstain() }");
    dir.write("retry/jd.rhai", BETTER);
    let report = policies.reload();
    assert_eq!(reason(&policies), "good");
    assert_eq!(
        stale_error(&policies, "retry/taobao.rhai"),
        "retry/taobao.rhai:2:22: unknown variable `stauts` (did you mean `status`?)"
    );
    assert_eq!(report.changed, ["retry/jd.rhai"], "other files are reloaded");
    assert_eq!(status_of(&policies, "retry/taobao.rhai").generation, Some(1));
    assert_eq!(status_of(&policies, "retry/jd.rhai").generation, Some(2));
    assert_eq!(generations.try_next().unwrap().number(), 2);
    // A reload without changes creates no generation and sends no notification, even if an error remains.
    assert_eq!(policies.reload().generation, 2);
    assert!(generations.try_next().is_none());
    // Restoring the active version creates no generation.
    dir.write("retry/taobao.rhai", GOOD);
    assert_eq!(policies.reload().generation, 2);
    assert_eq!(status_of(&policies, "retry/taobao.rhai").stale, None);
    assert!(generations.try_next().is_some(), "the status changed");
}

#[test]
fn two_files_for_one_platform_are_rejected_with_both_names() {
    let dir = TestDir::new();
    dir.write("retry/taobao.rhai", GOOD);
    let policies = dir.open();
    dir.write("retry/taobao.wasm", "not a component");
    policies.reload();
    assert_eq!(reason(&policies), "good");
    let error = stale_error(&policies, "retry/taobao.rhai");
    assert_eq!(
        error,
        "retry/taobao.rhai and retry/taobao.wasm: more than one policy for the same platform; keep one file"
    );
    dir.remove("retry/taobao.wasm");
    policies.reload();
    assert_eq!((reason(&policies).as_str(), status_of(&policies, "retry/taobao.rhai").stale), ("good", None));
}

/// A reload does not wait for the compilation of a large component.
#[test]
fn slow_compilation_does_not_delay_other_policies() {
    let dir = TestDir::new();
    let watched = dir.write("retry/taobao.rhai", GOOD).watch();
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/well_behaved.wat");
    let large = [HostilePolicy::read(&guest).unwrap().bytes, custom_section(2 << 20)].concat();
    fs::write(dir.root().join("retry/jd.wasm"), large).unwrap();
    dir.write("retry/taobao.rhai", BETTER);
    let report = watched.policies.reload();
    assert!(reason(&watched.policies) == "better", "{report:?}");
    let is_active = |policies: &Policies| status_of(policies, "retry/jd.wasm").generation.is_some();
    while !is_active(&watched.policies) {
        watched.generations.next_within(Duration::from_secs(60)).unwrap();
    }
    assert_eq!(status_of(&watched.policies, "retry/jd.wasm").stale, None);
}

/// Returns a custom section with a number of meaningless bytes.
fn custom_section(length: u32) -> Vec<u8> {
    let mut bytes = vec![0];
    // The length in LEB128: the bytes of the name and the content.
    let mut remaining = length + 5;
    while remaining > 127 {
        bytes.push(u8::try_from(remaining & 127).unwrap() | 128);
        remaining >>= 7;
    }
    bytes.push(u8::try_from(remaining).unwrap());
    bytes.extend(b"\x04note");
    bytes.resize(bytes.len() + length as usize, 7);
    bytes
}

#[test]
fn call_in_progress_finishes_on_its_generation() {
    let dir = TestDir::new();
    dir.write("retry/taobao.rhai", GOOD);
    let policies = dir.open();
    let old = policies.generation();
    dir.write("retry/taobao.rhai", BETTER);
    policies.reload();
    let failure = Failure::default().with_platform("taobao");
    assert_eq!(old.classify(&failure).verdict.reason.as_deref(), Some("good"));
    assert_eq!(policies.classify(&failure).verdict.reason.as_deref(), Some("better"));
}

#[test]
fn every_error_in_the_rules_is_reported_with_its_position_and_the_old_rules_stay() {
    let dir = TestDir::new();
    dir.write("alerts.toml", "[rules.high]\ncondition = \"error_rate > 0.1\"\n");
    let policies = dir.open();
    assert_eq!(firing_rules(&policies, 0.2), ["high"]);
    dir.write("alerts.toml", "[rules.high]\ncondition = \"error_rate > 0.3\"\n");
    policies.reload();
    assert_eq!((firing_rules(&policies, 0.2), firing_rules(&policies, 0.4)), (vec![], vec!["high".to_owned()]));
    let invalid = "[rules.high]\ncondition = \"eror_rate > 0.3\"\nseverity = \"bad\"\n\n\
                    [rules.slow]\ncondition = '''\np95 > 1 &&\n  p95 > \"5\"'''\nfro = \"5m\"\n\n\
                    [rules.none]\nwindow = \"0s\"\n\n[rules.file]\npolicy = \"alerts/brun.rhai\"\n\
                    [rules.policies_differ]\ncondition = \"count > 5\"\n";
    dir.write("alerts/burn.rhai", "false").write("alerts.toml", invalid);
    policies.reload();
    let expected = [
        "2:14: unknown variable `eror_rate` (did you mean `error_rate`?)",
        "3:12: rules.high.severity: expected \"info\", \"warning\" or \"critical\", found \"bad\"",
        "8:7: `>` between a number and a string is always false; compare values of the same type",
        "9:1: rules.slow: unknown key `fro` (did you mean `for`?)",
        "11:8: rules.none: `condition` is missing; add `condition`, or `policy` with the path of a file",
        "12:10: rules.none.window: expected a window above zero, such as \"5m\"",
        "15:10: rules.file.policy: no such file \"alerts/brun.rhai\" in the policy directory (did you mean `alerts/burn.rhai`?)",
        "16:8: rules.policies_differ: this is the name of a built-in alert; choose another name",
    ];
    let expected: Vec<_> = expected.iter().map(|error| format!("alerts.toml:{error}")).collect();
    assert_eq!(stale_error(&policies, "alerts.toml"), expected.join("\n"));
    assert_eq!(firing_rules(&policies, 0.4), ["high"], "the old rules stay");
}

#[test]
fn condition_file_is_reloaded_even_if_the_rules_file_is_invalid() {
    let dir = TestDir::new();
    dir.write("alerts/burn.rhai", "error_rate > 0.5");
    dir.write("alerts.toml", "[rules.burn]\npolicy = \"alerts/burn.rhai\"\n");
    let policies = dir.open();
    assert_eq!((firing_rules(&policies, 0.4), firing_rules(&policies, 0.6)), (vec![], vec!["burn".to_owned()]));
    dir.write("alerts/burn.rhai", "error_rate > 0.1");
    policies.reload();
    assert_eq!(firing_rules(&policies, 0.2), ["burn"]);
    // An invalid condition file keeps its last good version and causes no error in the rules file.
    dir.write("alerts/burn.rhai", "error_rate >");
    assert_eq!(policies.reload().rejected.len(), 1);
    assert_eq!(firing_rules(&policies, 0.2), ["burn"]);
    // Invalid rules keep their last good version, which uses the new condition file.
    dir.write("alerts.toml", "[rules.burn]\n").write("alerts/burn.rhai", "error_rate > 0.7");
    assert_eq!(policies.reload().rejected.len(), 1);
    assert_eq!((firing_rules(&policies, 0.6), firing_rules(&policies, 0.8)), (vec![], vec!["burn".to_owned()]));
    // A condition file that is deleted while a rule names it stays active with that rule.
    dir.write("alerts.toml", "[rules.burn]\npolicy = \"alerts/burn.rhai\"\n");
    policies.reload();
    dir.remove("alerts/burn.rhai");
    policies.reload();
    assert_eq!(firing_rules(&policies, 0.8), ["burn"]);
    assert!(stale_error(&policies, "alerts.toml").contains("no such file \"alerts/burn.rhai\""));
}

#[test]
fn dropping_the_watch_stops_its_thread() {
    let dir = TestDir::new();
    let token = Arc::new(());
    let callback_token = Arc::clone(&token);
    let (sender, calls) = std::sync::mpsc::channel();
    let watch = tidegate_policy::watch::watch(vec![dir.root()], move || {
        let _token = &callback_token;
        let _ = sender.send(());
    });
    calls.recv_timeout(Duration::from_secs(30)).expect("the callback is called at the start");
    drop(watch);
    assert_eq!(Arc::strong_count(&token), 1, "the thread has ended and dropped its callback");
}

#[test]
fn single_file_is_watched_even_before_it_exists() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("tidegate.toml");
    let (sender, contents) = std::sync::mpsc::channel();
    let path = file.clone();
    let _watch = tidegate_policy::watch::watch(vec![file.clone()], move || {
        let _ = sender.send(fs::read_to_string(&path).ok());
    });
    let wait_for = |expected: Option<&str>| {
        let mut contents = std::iter::from_fn(|| contents.recv_timeout(Duration::from_secs(30)).ok());
        assert!(contents.any(|text| text.as_deref() == expected), "the callback did not read {expected:?}");
    };
    wait_for(None);
    fs::write(&file, "one").unwrap();
    wait_for(Some("one"));
    replace(&file, "two");
    wait_for(Some("two"));
}

/// Replaces a file atomically, by a rename.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, file).unwrap();
}
