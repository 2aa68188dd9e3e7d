//! Policies and rules that change while they are in force.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use tempfile::TempDir;
use tidegate_core::{AlertVerdict, Failure, Snapshot, Stats, View, Windows};
use tidegate_policy::{Generation, Policies, PolicyStatus, Watch};
use tidegate_tests::corpus::Hostile;

use crate::policies::policies_config;

const GOOD: &str = "retry(\"transient\", \"good\")";
const BETTER: &str = "retry(\"transient\", \"better\")";

/// A policies directory of its own.
struct Dir {
    temp: TempDir,
}

impl Dir {
    fn new() -> Self {
        let dir = Self { temp: tempfile::tempdir().unwrap() };
        for folder in ["retry", "alerts"] {
            fs::create_dir_all(dir.root().join(folder)).unwrap();
        }
        dir
    }

    /// The directory of policies; its parent is the test's own too.
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

    fn follow(&self) -> Followed {
        let policies = self.open();
        let news = policies.subscribe();
        let watch = policies.watch().unwrap();
        Followed { policies, news, _watch: watch }
    }
}

struct Followed {
    policies: Arc<Policies>,
    news: Receiver<Arc<Generation>>,
    _watch: Watch,
}

impl Followed {
    /// Waits until the directory's policies answer a failure of `taobao` with this reason.
    #[track_caller]
    fn until(&self, expected: &str) {
        while reason(&self.policies) != expected {
            let news = self.news.recv_timeout(Duration::from_secs(30));
            assert!(news.is_ok(), "never came: {expected:?}; now {:#?}", self.policies.status());
        }
    }
}

/// The reason that taobao's classifier gives, or who decided.
fn reason(policies: &Policies) -> String {
    let failure = Failure { platform: "taobao".into(), status: Some(503), ..Failure::default() };
    let decided = policies.classify(&failure);
    if &*decided.by == "fallback" { "fallback".to_owned() } else { decided.verdict.reason.unwrap_or_default() }
}

fn status_of(policies: &Policies, path: &str) -> PolicyStatus {
    let found = policies.status().into_iter().find(|status| status.path == path);
    found.unwrap_or_else(|| panic!("no {path} in {:#?}", policies.status()))
}

/// The problem of a file without the directory in front.
fn stale(policies: &Policies, path: &str) -> String {
    let problem = status_of(policies, path).stale.expect("stale");
    problem.replace(&format!("{}/", policies.dir().display()), "")
}

/// The rules that fire at this error rate.
fn firing(policies: &Policies, error_rate: f64) -> Vec<String> {
    let stats = Stats { count: 100, error_rate, ..Stats::default() };
    let snapshot = Snapshot { platform: "taobao".into(), endpoint: None, stats: stats.clone() };
    let view: Arc<dyn View> = Arc::new(Windows(move |_| stats.clone()));
    let fires = |verdict| matches!(verdict, AlertVerdict::Firing { .. });
    let rules = policies.rules();
    let firing = rules.iter().filter(|rule| fires(rule.policy.evaluate(&snapshot, &view).unwrap()));
    firing.map(|rule| rule.name.clone()).collect()
}

#[test]
fn an_edit_is_in_force_without_a_restart() {
    let dir = Dir::new();
    dir.write("retry/taobao.rhai", GOOD);
    let followed = dir.follow();
    followed.until("good");
    dir.write("retry/taobao.rhai", BETTER);
    followed.until("better");
}

#[test]
fn an_editor_that_renames_is_followed() {
    let dir = Dir::new();
    dir.write("retry/taobao.rhai", GOOD);
    let followed = dir.follow();
    for reason in ["one", "two", "three"] {
        dir.write("retry/.taobao.rhai.swp", "").write("retry/4913", "");
        dir.remove("retry/4913");
        dir.rename("retry/taobao.rhai", "retry/taobao.rhai~");
        dir.write("retry/taobao.rhai", &format!("retry(\"transient\", \"{reason}\")"));
        dir.remove("retry/taobao.rhai~");
        followed.until(reason);
    }
}

#[test]
fn a_deleted_file_leaves_the_next_in_the_chain() {
    let dir = Dir::new();
    dir.write("retry/taobao.rhai", GOOD).write("retry/default.rhai", BETTER);
    let followed = dir.follow();
    followed.until("good");
    dir.remove("retry/taobao.rhai");
    followed.until("better");
    dir.remove("retry/default.rhai");
    followed.until("fallback");
}

#[test]
fn a_config_map_is_followed_through_its_links() {
    let dir = Dir::new();
    let root = dir.root();
    fs::remove_dir_all(&root).unwrap();
    let version = |name: &str, script: &str| {
        fs::create_dir_all(root.join(name).join("retry")).unwrap();
        fs::write(root.join(name).join("retry/taobao.rhai"), script).unwrap();
    };
    version("..2026_11_23", GOOD);
    symlink("..2026_11_23", root.join("..data")).unwrap();
    symlink("..data/retry", root.join("retry")).unwrap();
    let followed = dir.follow();
    followed.until("good");
    version("..2026_11_24", BETTER);
    symlink("..2026_11_24", root.join("..data_tmp")).unwrap();
    dir.rename("..data_tmp", "..data");
    fs::remove_dir_all(root.join("..2026_11_23")).unwrap();
    followed.until("better");
}

#[test]
fn a_missing_directory_may_appear_go_and_come_back() {
    let dir = Dir::new();
    fs::remove_dir_all(dir.root()).unwrap();
    let followed = dir.follow();
    followed.until("fallback");
    let appear = |script: &str| {
        fs::create_dir_all(dir.root().join("retry")).unwrap();
        dir.write("retry/taobao.rhai", script);
    };
    appear(GOOD);
    followed.until("good");
    fs::rename(dir.root(), dir.temp.path().join("moved away")).unwrap();
    appear(BETTER);
    followed.until("better");
}

#[test]
fn a_directory_that_vanishes_takes_nothing_out_of_force() {
    let dir = Dir::new();
    dir.write("retry/taobao.rhai", GOOD);
    let policies = dir.open();
    fs::rename(dir.root(), dir.temp.path().join("gone")).unwrap();
    let report = policies.reload();
    assert!(report.refused[0].contains("the policies read last stay in force"), "{report:?}");
    assert_eq!(reason(&policies), "good");
    fs::rename(dir.temp.path().join("gone"), dir.root()).unwrap();
    assert_eq!(policies.reload().refused, [""; 0]);
}

#[test]
fn a_half_written_file_waits_for_its_other_half() {
    let dir = Dir::new();
    dir.write("retry/taobao.rhai", GOOD);
    let policies = dir.open();
    let (half, _) = BETTER.split_at(20);
    for part in [half, "", "retry(\"trans"] {
        dir.write("retry/taobao.rhai", part);
        policies.reload();
        assert_eq!(reason(&policies), "good", "{part:?}");
    }
    dir.write("retry/taobao.rhai", BETTER);
    assert_eq!(policies.reload().refused, [""; 0]);
    assert_eq!(reason(&policies), "better");
}

#[test]
fn the_last_good_one_stays_and_the_status_says_where_the_mistake_is() {
    let dir = Dir::new();
    dir.write("retry/taobao.rhai", GOOD).write("retry/jd.rhai", GOOD);
    let policies = dir.open();
    let news = policies.subscribe();
    dir.write("retry/taobao.rhai", "if status == 503 {\n  retry(\"transient\", stauts)\n} else { abstain() }");
    dir.write("retry/jd.rhai", BETTER);
    let report = policies.reload();
    assert_eq!(reason(&policies), "good");
    assert_eq!(
        stale(&policies, "retry/taobao.rhai"),
        "retry/taobao.rhai:2:22: no such name `stauts`; did you mean `status`?"
    );
    assert_eq!(report.changed, ["retry/jd.rhai"], "the other files go on");
    assert_eq!(status_of(&policies, "retry/taobao.rhai").generation, Some(1));
    assert_eq!(status_of(&policies, "retry/jd.rhai").generation, Some(2));
    assert_eq!(news.try_recv().unwrap().number(), 2);
    // Nothing new, nothing to tell; a mistake that is still there is not told again.
    assert_eq!(policies.reload().generation, 2);
    assert!(news.try_recv().is_err());
    // What is in force already comes back without a new generation.
    dir.write("retry/taobao.rhai", GOOD);
    assert_eq!(policies.reload().generation, 2);
    assert_eq!(status_of(&policies, "retry/taobao.rhai").stale, None);
    assert!(news.try_recv().is_ok(), "the status changed");
}

#[test]
fn two_files_for_one_platform_are_an_error_that_names_both() {
    let dir = Dir::new();
    dir.write("retry/taobao.rhai", GOOD);
    let policies = dir.open();
    dir.write("retry/taobao.wasm", "not a component");
    policies.reload();
    assert_eq!(reason(&policies), "good");
    let problem = stale(&policies, "retry/taobao.rhai");
    assert_eq!(problem, "retry/taobao.rhai and retry/taobao.wasm: both claim the same platform; remove one");
    dir.remove("retry/taobao.wasm");
    policies.reload();
    assert_eq!((reason(&policies).as_str(), status_of(&policies, "retry/taobao.rhai").stale), ("good", None));
}

/// Components that are large are not waited for; whatever else is edited meanwhile comes in force.
#[test]
fn a_component_that_takes_long_to_compile_holds_up_no_other_and_comes_when_it_is_done() {
    let dir = Dir::new();
    let followed = dir.write("retry/taobao.rhai", GOOD).follow();
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/well_behaved.wat");
    let large = [Hostile::read(&guest).unwrap().bytes, section(2 << 20)].concat();
    fs::write(dir.root().join("retry/jd.wasm"), large).unwrap();
    dir.write("retry/taobao.rhai", BETTER);
    let report = followed.policies.reload();
    assert!(reason(&followed.policies) == "better", "{report:?}");
    let there = |policies: &Policies| status_of(policies, "retry/jd.wasm").generation.is_some();
    while !there(&followed.policies) {
        followed.news.recv_timeout(Duration::from_secs(60)).unwrap();
    }
    assert_eq!(status_of(&followed.policies, "retry/jd.wasm").stale, None);
}

/// A custom section of so many bytes, which means nothing.
fn section(length: u32) -> Vec<u8> {
    let mut bytes = vec![0];
    // LEB128, of what the name takes and the rest.
    let mut left = length + 5;
    while left > 127 {
        bytes.push(u8::try_from(left & 127).unwrap() | 128);
        left >>= 7;
    }
    bytes.push(u8::try_from(left).unwrap());
    bytes.extend(b"\x04note");
    bytes.resize(bytes.len() + length as usize, 7);
    bytes
}

#[test]
fn a_call_in_flight_finishes_on_its_generation() {
    let dir = Dir::new();
    dir.write("retry/taobao.rhai", GOOD);
    let policies = dir.open();
    let old = policies.generation();
    dir.write("retry/taobao.rhai", BETTER);
    policies.reload();
    let failure = Failure { platform: "taobao".into(), ..Failure::default() };
    assert_eq!(old.classify(&failure).verdict.reason.as_deref(), Some("good"));
    assert_eq!(policies.classify(&failure).verdict.reason.as_deref(), Some("better"));
}

#[test]
fn every_mistake_of_the_rules_is_told_at_its_place_and_the_old_rules_stay() {
    let dir = Dir::new();
    dir.write("alerts.toml", "[rules.high]\ncondition = \"error_rate > 0.1\"\n");
    let policies = dir.open();
    assert_eq!(firing(&policies, 0.2), ["high"]);
    dir.write("alerts.toml", "[rules.high]\ncondition = \"error_rate > 0.3\"\n");
    policies.reload();
    assert_eq!((firing(&policies, 0.2), firing(&policies, 0.4)), (vec![], vec!["high".to_owned()]));
    let mistakes = "[rules.high]\ncondition = \"eror_rate > 0.3\"\nseverity = \"bad\"\n\n\
                    [rules.slow]\ncondition = '''\np95 > 1 &&\n  p95 > \"5\"'''\nfro = \"5m\"\n\n\
                    [rules.none]\nwindow = \"0s\"\n\n[rules.file]\npolicy = \"alerts/brun.rhai\"\n";
    dir.write("alerts/burn.rhai", "false").write("alerts.toml", mistakes);
    policies.reload();
    let expected = [
        "2:14: no such name `eror_rate`; did you mean `error_rate`?",
        "3:12: rules.high.severity: expected \"info\", \"warning\" or \"critical\", not \"bad\"",
        "8:7: `>` between a number and a text is always false; make both the same",
        "9:1: rules.slow.fro: no such key; did you mean `for`?",
        "11:8: rules.none: `condition` (or `policy`, a file) is missing",
        "12:10: rules.none.window: expected a window above zero such as \"5m\"",
        "15:10: rules.file.policy: no such file \"alerts/brun.rhai\" in the policies directory; did you mean `alerts/burn.rhai`?",
    ];
    let expected: Vec<_> = expected.iter().map(|problem| format!("alerts.toml:{problem}")).collect();
    assert_eq!(stale(&policies, "alerts.toml"), expected.join("\n"));
    assert_eq!(firing(&policies, 0.4), ["high"], "the old rules stay");
}

#[test]
fn a_condition_in_a_file_is_in_force_when_the_file_is_saved_whatever_the_rules_look_like() {
    let dir = Dir::new();
    dir.write("alerts/burn.rhai", "error_rate > 0.5");
    dir.write("alerts.toml", "[rules.burn]\npolicy = \"alerts/burn.rhai\"\n");
    let policies = dir.open();
    assert_eq!((firing(&policies, 0.4), firing(&policies, 0.6)), (vec![], vec!["burn".to_owned()]));
    dir.write("alerts/burn.rhai", "error_rate > 0.1");
    policies.reload();
    assert_eq!(firing(&policies, 0.2), ["burn"]);
    // A broken file keeps its last good version, and the rules have nothing to complain of.
    dir.write("alerts/burn.rhai", "error_rate >");
    assert_eq!(policies.reload().refused.len(), 1);
    assert_eq!(firing(&policies, 0.2), ["burn"]);
    // Broken rules keep theirs, and follow the file all the same.
    dir.write("alerts.toml", "[rules.burn]\n").write("alerts/burn.rhai", "error_rate > 0.7");
    assert_eq!(policies.reload().refused.len(), 1);
    assert_eq!((firing(&policies, 0.6), firing(&policies, 0.8)), (vec![], vec!["burn".to_owned()]));
    // A file that goes while a rule names it stays in force with that rule.
    dir.write("alerts.toml", "[rules.burn]\npolicy = \"alerts/burn.rhai\"\n");
    policies.reload();
    dir.remove("alerts/burn.rhai");
    policies.reload();
    assert_eq!(firing(&policies, 0.8), ["burn"]);
    assert!(stale(&policies, "alerts.toml").contains("no such file \"alerts/burn.rhai\""));
}

#[test]
fn dropping_the_guard_ends_the_following() {
    let dir = Dir::new();
    let token = Arc::new(());
    let held = Arc::clone(&token);
    let (sender, looked) = std::sync::mpsc::channel();
    let watch = tidegate_policy::watch::watch(vec![dir.root()], move || {
        let _held = &held;
        let _ = sender.send(());
    });
    looked.recv_timeout(Duration::from_secs(30)).expect("a first look at once");
    drop(watch);
    assert_eq!(Arc::strong_count(&token), 1, "the thread and what it held are gone");
}

#[test]
fn a_single_file_is_followed_by_its_directory() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("tidegate.toml");
    let (sender, looks) = std::sync::mpsc::channel();
    let path = file.clone();
    let _watch = tidegate_policy::watch::watch(vec![file.clone()], move || {
        let _ = sender.send(fs::read_to_string(&path).ok());
    });
    let until = |expected: Option<&str>| {
        let mut looks = std::iter::from_fn(|| looks.recv_timeout(Duration::from_secs(30)).ok());
        assert!(looks.any(|text| text.as_deref() == expected), "never read {expected:?}");
    };
    until(None);
    fs::write(&file, "one").unwrap();
    until(Some("one"));
    replace(&file, "two");
    until(Some("two"));
}

/// Replaces a file the way careful programs do.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, file).unwrap();
}
