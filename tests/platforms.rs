//! The shipped policies of platforms: each has test cases, all cases pass, and they cover every documented class.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use tidegate_core::config::Config;
use tidegate_policy::PolicyKind;
use tidegate_server::cases::{self, CaseFile};

use crate::policies::{policies_config, shipped_policies_dir};

/// The classes of errors in each platform's documentation or known traffic, sorted by name.
const DOCUMENTED_CLASSES: [(&str, &str); 18] = [
    ("alibaba_1688", "permanent throttled"),
    // Its limits and tokens are not documented.
    ("alibaba_intl", "permanent transient"),
    ("aliexpress", "auth permanent quota throttled transient"),
    // Its limits refill continuously, so it has no daily quota; the same holds for walmart.
    ("amazon", "auth permanent throttled transient"),
    ("douyin", "auth permanent throttled transient"),
    ("ebay", "auth permanent quota throttled transient"),
    // Its only limit is the daily quota.
    ("jd", "auth permanent quota transient"),
    ("kuaishou", "auth permanent quota throttled transient"),
    ("lazada", "auth permanent throttled transient"),
    ("pdd", "auth permanent quota throttled transient"),
    ("shopee", "auth permanent quota throttled transient"),
    // The codes of suning, vipshop and xiaohongshu are not documented; their policies use the HTTP status.
    ("suning", ""),
    ("taobao", "auth permanent quota throttled transient"),
    ("tiktok_shop", "auth permanent throttled transient"),
    ("tmall", "auth permanent quota throttled transient"),
    ("vipshop", ""),
    ("walmart", "auth permanent throttled transient"),
    ("xiaohongshu", ""),
];

#[test]
fn every_shipped_policy_has_cases_and_they_pass() {
    let dir = shipped_policies_dir();
    let (tested, untested) = cases::find(&dir).unwrap();
    assert_eq!(untested, [] as [&std::path::Path; 0], "every policy needs cases");
    let config = Config::with_platforms().with_policies(policies_config(&dir));
    let mut mismatches = vec![];
    for policy in &tested {
        let file = policy.cases.display();
        let outcomes = cases::run(policy, &config).unwrap_or_else(|error| panic!("{error}"));
        let failed = outcomes.iter().filter(|outcome| !outcome.differences.is_empty());
        mismatches.extend(failed.map(|case| format!("{file}:{}: {}: {:?}", case.line, case.name, case.differences)));
    }
    assert!(mismatches.is_empty(), "{}", mismatches.join("\n"));
}

fn load_cases(platform: &str) -> CaseFile {
    let path = shipped_policies_dir().join("retry").join(platform).with_extension("test.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    CaseFile::parse(&path.display().to_string(), &text, Some(PolicyKind::Retry)).unwrap()
}

#[test]
fn every_platform_has_cases_for_its_documented_classes() {
    let platforms: Vec<_> = Config::with_platforms().limits.into_keys().collect();
    assert_eq!(platforms, DOCUMENTED_CLASSES.map(|(platform, _)| platform));
    for (platform, documented) in DOCUMENTED_CLASSES {
        let file = load_cases(platform);
        let classes: BTreeSet<_> = file.cases.iter().filter_map(|case| case.expect["class"].as_str()).collect();
        assert_eq!(classes.into_iter().collect::<Vec<_>>().join(" "), documented, "{platform}");
    }
}

#[test]
fn every_platform_has_a_success_case_and_a_default_case() {
    for (platform, _) in DOCUMENTED_CLASSES {
        let file = load_cases(platform);
        let has = |field: &str, value: Value| file.cases.iter().any(|case| case.expect[field] == value);
        assert!(has("success", true.into()), "{platform}: no success case");
        assert!(has("action", "default".into()), "{platform}: no case with the action `default`");
    }
}

#[test]
fn auth_failures_have_a_retry_case_and_a_give_up_case() {
    for (platform, documented) in DOCUMENTED_CLASSES.iter().filter(|(_, classes)| classes.contains("auth")) {
        let actions: BTreeSet<_> = load_cases(platform)
            .cases
            .iter()
            .filter(|case| case.expect["class"] == "auth")
            .filter_map(|case| case.expect["action"].as_str().map(str::to_owned))
            .collect();
        assert_eq!(actions.into_iter().collect::<Vec<_>>(), ["give_up", "retry"], "{platform}: {documented}");
    }
}
