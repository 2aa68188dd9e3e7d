//! What ships for platforms: every policy has cases, all of them pass, and they show each class that is documented.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use tidegate_core::config::Config;
use tidegate_policy::PolicyKind;
use tidegate_server::cases::{self, CaseFile};

use crate::policies::{policies_config, shipped};

/// Classes that the platform's documentation, or what is known of its traffic, has answers of; in the order of names.
const DOCUMENTED: [(&str, &str); 18] = [
    ("alibaba_1688", "permanent throttled"),
    // Its limits and tokens are not documented.
    ("alibaba_intl", "permanent transient"),
    ("aliexpress", "auth permanent quota throttled transient"),
    // A bucket that refills all the time has no day; so with walmart.
    ("amazon", "auth permanent throttled transient"),
    ("douyin", "auth permanent throttled transient"),
    ("ebay", "auth permanent quota throttled transient"),
    // Its only limit is that of the day.
    ("jd", "auth permanent quota transient"),
    ("kuaishou", "auth permanent quota throttled transient"),
    ("lazada", "auth permanent throttled transient"),
    ("pdd", "auth permanent quota throttled transient"),
    ("shopee", "auth permanent quota throttled transient"),
    // No code of these three is documented: they go by HTTP status.
    ("suning", ""),
    ("taobao", "auth permanent quota throttled transient"),
    ("tiktok_shop", "auth permanent throttled transient"),
    ("tmall", "auth permanent quota throttled transient"),
    ("vipshop", ""),
    ("walmart", "auth permanent throttled transient"),
    ("xiaohongshu", ""),
];

#[test]
fn every_policy_that_ships_has_cases_and_all_of_them_pass() {
    let dir = shipped();
    let (tested, untested) = cases::find(&dir).unwrap();
    assert_eq!(untested, [] as [&std::path::Path; 0], "these have no cases");
    let config = policies_config(&dir);
    let mut wrong = vec![];
    for one in &tested {
        let file = one.cases.display();
        let outcomes = cases::run(one, &config).unwrap_or_else(|problem| panic!("{problem}"));
        let failed = outcomes.iter().filter(|outcome| !outcome.differences.is_empty());
        wrong.extend(failed.map(|one| format!("{file}:{}: {}: {:?}", one.line, one.name, one.differences)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn cases_of(platform: &str) -> CaseFile {
    let path = shipped().join("retry").join(platform).with_extension("test.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    CaseFile::parse(&path.display().to_string(), &text, Some(PolicyKind::Retry)).unwrap()
}

#[test]
fn every_platform_has_cases_of_each_class_that_is_documented() {
    let platforms: Vec<_> = Config::default().limits.into_keys().collect();
    assert_eq!(platforms, DOCUMENTED.map(|(platform, _)| platform));
    for (platform, documented) in DOCUMENTED {
        let file = cases_of(platform);
        let classes: BTreeSet<_> = file.cases.iter().filter_map(|case| case.expect["class"].as_str()).collect();
        assert_eq!(classes.into_iter().collect::<Vec<_>>().join(" "), documented, "{platform}");
    }
}

#[test]
fn every_platform_has_cases_of_a_success_and_of_what_is_left_to_the_default() {
    for (platform, _) in DOCUMENTED {
        let file = cases_of(platform);
        let has = |field: &str, value: Value| file.cases.iter().any(|case| case.expect[field] == value);
        assert!(has("success", true.into()), "{platform}: no success");
        assert!(has("action", "default".into()), "{platform}: nothing is left to the default");
    }
}

#[test]
fn what_passes_for_credentials_is_tried_once_and_no_more() {
    for (platform, documented) in DOCUMENTED.iter().filter(|(_, classes)| classes.contains("auth")) {
        let actions: BTreeSet<_> = cases_of(platform)
            .cases
            .iter()
            .filter(|case| case.expect["class"] == "auth")
            .filter_map(|case| case.expect["action"].as_str().map(str::to_owned))
            .collect();
        assert_eq!(actions.into_iter().collect::<Vec<_>>(), ["give_up", "retry"], "{platform}: {documented}");
    }
}
