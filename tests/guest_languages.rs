//! The same policy in Rhai, Rust and JavaScript gives the same verdicts.

use std::path::{Path, PathBuf};

use tidegate_policy::{LoadedPolicy, PolicyKind, load_one};

use crate::policies::{empty_view, failure, policies_config, shipped_policies_dir, verdict_text};

/// Cases for the retry policy of pdd. It ships in Rust; the tests also have it in Rhai and JavaScript.
const PDD_CASES: [(&str, &str); 24] = [
    (r#"{"status":200,"code":"52101"}"#, "retry throttled after 1000"),
    (r#"{"status":200,"code":"52101","attempt":2}"#, "retry throttled after 2000"),
    (r#"{"status":200,"code":"70031","attempt":4}"#, "retry throttled after 8000"),
    (r#"{"status":200,"code":"70031","attempt":5}"#, "retry throttled after 10000"),
    (r#"{"status":200,"code":"70031","attempt":4294967295}"#, "retry throttled after 10000"),
    (r#"{"status":200,"code":"70031","attempt":0}"#, "retry throttled after 1000"),
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

/// Returns the policy in Rhai, and in each other language for which its component has been built.
fn retry_policies() -> Vec<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let components = [shipped_policies_dir().join("retry/pdd.wasm"), tests.join("../target/guests/js/retry/pdd.wasm")];
    let (built, missing): (Vec<_>, Vec<_>) = components.into_iter().partition(|path| path.is_file());
    for component in missing {
        eprintln!("skipped {}: not built; run `cargo xtask test`", component.display());
    }
    std::iter::once(tests.join("guests/pdd.rhai")).chain(built).collect()
}

#[test]
fn retry_policy_gives_the_same_verdicts_in_every_language() {
    let config = policies_config(&shipped_policies_dir());
    for path in retry_policies() {
        let loaded = load_one(&path, Some(PolicyKind::Retry), &config);
        let Ok(LoadedPolicy::Retry(policy)) = loaded else { panic!("{}: {:?}", path.display(), loaded.err()) };
        for (json, expected) in PDD_CASES {
            let verdict = policy.classify(&failure(json), &empty_view()).unwrap();
            assert_eq!(verdict_text(&verdict), expected, "{}: {json}", path.display());
        }
    }
}
