//! The same policy in Rhai, Rust and JavaScript gives the same verdicts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_core::config::Config;
use tidegate_core::{Failure, FailureKind, RetryPolicy};
use tidegate_policy::{LoadedPolicy, PolicyKind, load_policy};
use tidegate_server::cases::{self, TestedPolicy};

use crate::policies::{empty_view, failure, policies_config, shipped_policies_dir, verdict_text};

/// Cases for the retry policy of pdd.
const PDD_CASES: [(&str, &str); 25] = [
    (r#"{"status":200,"code":"52101"}"#, "retry throttled after 1000"),
    (r#"{"status":200,"code":"52101","attempt":2}"#, "retry throttled after 2000"),
    (r#"{"status":200,"code":"70031","attempt":4}"#, "retry throttled after 8000"),
    (r#"{"status":200,"code":"70031","attempt":5}"#, "retry throttled after 10000"),
    (r#"{"status":200,"code":"70031","attempt":4294967295}"#, "retry throttled after 10000"),
    (r#"{"status":200,"code":"70031","attempt":0}"#, "retry throttled after 1000"),
    (r#"{"status":200,"code":"52101","retry_after_ms":0}"#, "retry throttled after 1000"),
    (r#"{"status":200,"code":"52101","retry_after_ms":300}"#, "retry throttled after 300"),
    (r#"{"status":200,"code":"52101","retry_after_ms":9007199254740991}"#, "retry throttled after 9007199254740991"),
    (r#"{"status":200,"code":"10019","attempt":2147483648}"#, "give up auth"),
    (r#"{"status":200,"code":"70036"}"#, "give up quota"),
    (r#"{"status":200,"code":"52102","sub_code":"x"}"#, "retry transient"),
    (r#"{"status":200,"code":"70033"}"#, "retry transient"),
    (r#"{"status":200,"code":"50000"}"#, "retry transient"),
    (r#"{"status":200,"code":"10019"}"#, "retry auth"),
    (r#"{"status":200,"code":"10019","attempt":2}"#, "give up auth"),
    (r#"{"status":200,"code":"20032"}"#, "give up auth"),
    (r#"{"status":200,"code":"20031"}"#, "give up permanent"),
    (r#"{"status":200,"code":"70034","message":"风控"}"#, "give up permanent"),
    (r#"{"status":200,"code":"30001"}"#, "give up permanent"),
    (r#"{"status":200,"code":"52101 "}"#, "abstain"),
    (r#"{"status":200,"code":"99999"}"#, "abstain"),
    (r#"{"status":503}"#, "abstain"),
    (r#"{"kind":"timeout"}"#, "abstain"),
    (r#"{}"#, "abstain"),
];

/// Every code for which the policy has a verdict, and some for which it has none.
const PDD_CODES: &str = "52101 70031 70036 52102 52103 70033 50000 50001 50002 52001 52002 10019 20032 20031 70034 70035 \
                         10000 10001 10016 10017 10018 20004 20005 20034 20035 21001 21002 30000 30001 52004 70032 \
                         99999 52100 1001 x";

/// The same policy as components in Rust and JavaScript.
const COMPONENTS: [&str; 2] = ["target/guests/rust/retry/pdd.wasm", "target/guests/js/retry/pdd.wasm"];

/// Returns the shipped script.
fn script() -> PathBuf {
    shipped_policies_dir().join("retry/pdd.rhai")
}

/// Returns the components that have been built.
fn components() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (built, missing): (Vec<_>, Vec<_>) =
        COMPONENTS.iter().map(|path| root.join(path)).partition(|path| path.is_file());
    for component in missing {
        eprintln!("skipped {}: not built; run `cargo xtask test`", component.display());
    }
    built
}

fn load(path: &Path) -> Arc<dyn RetryPolicy> {
    let loaded = load_policy(path, Some(PolicyKind::Retry), &policies_config(&shipped_policies_dir()));
    let Ok(LoadedPolicy::Retry(policy)) = loaded else { panic!("{}: {:?}", path.display(), loaded.err()) };
    policy
}

#[test]
fn retry_policy_gives_the_expected_verdicts_in_every_language() {
    for path in std::iter::once(script()).chain(components()) {
        let policy = load(&path);
        for (json, expected) in PDD_CASES {
            let verdict = policy.classify(&failure(json), &empty_view()).unwrap();
            assert_eq!(verdict_text(&verdict), expected, "{}: {json}", path.display());
        }
    }
}

#[test]
fn components_pass_the_cases_of_the_shipped_script() {
    let config = Config::with_platforms().with_policies(policies_config(&shipped_policies_dir()));
    for policy in components() {
        let cases = script().with_extension("test.toml");
        let tested = TestedPolicy { policy, cases, kind: Some(PolicyKind::Retry) };
        let failed: Vec<_> = cases::run(&tested, &config)
            .unwrap()
            .into_iter()
            .filter(|case| !case.differences.is_empty())
            .map(|case| format!("{}: {:?}", case.name, case.differences))
            .collect();
        assert!(failed.is_empty(), "{}: {failed:?}", tested.policy.display());
    }
}

/// Compares whole verdicts, including their reasons, for all combinations of code, attempt and requested delay.
#[test]
fn components_and_script_give_equal_verdicts() {
    let script = load(&script());
    for path in components() {
        let component = load(&path);
        for failure in pdd_failures() {
            let verdicts = [&script, &component].map(|policy| policy.classify(&failure, &empty_view()).unwrap());
            assert_eq!(verdicts[0], verdicts[1], "{}: {failure:?}", path.display());
        }
    }
}

fn pdd_failures() -> Vec<Failure> {
    let mut failures = vec![];
    let codes = PDD_CODES.split_whitespace().map(|code| Some(code.to_owned())).chain([None, Some(String::new())]);
    for code in codes {
        for attempt in [0, 1, 2, 3, 4, 5, 6, 11, 12, 1_000, u32::MAX] {
            for retry_after_ms in [None, Some(0), Some(1), Some(999), Some(10_001), Some((1 << 53) - 1)] {
                let (platform, kind) = ("pdd".to_owned(), FailureKind::Response);
                let (status, code) = (Some(200), code.clone());
                let mut failure = Failure::default().with_platform(platform).with_attempt(attempt);
                failure.kind = kind;
                failure.status = status;
                failure.code = code;
                failure.retry_after_ms = retry_after_ms;
                failures.push(failure);
            }
        }
    }
    failures
}
