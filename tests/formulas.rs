//! A condition that is a plain formula is evaluated without the interpreter. Its results must equal the interpreter's.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use tidegate_core::{AlertPolicy, FnHostView, HostView, Snapshot, Stats};
use tidegate_policy::{Error, load_policy};

use crate::policies::{policies_config, stats_with};

/// Numbers that are equal, nearly equal or far apart, infinity, and NaN.
const NUMBERS: [f64; 12] = [
    0.0,
    0.1,
    0.1 + f64::EPSILON / 4.0,
    0.2,
    0.30000000000000004,
    0.3,
    1.0,
    20.0,
    1e-200,
    1e300,
    f64::INFINITY,
    f64::NAN,
];

fn number() -> impl Strategy<Value = String> {
    let statistic =
        prop::sample::select(&["count", "errors", "error_rate", "rps", "p50", "p95"][..]).prop_map(str::to_owned);
    let constant =
        prop::sample::select(&["0.1", "0.3", "0.0", "20", "1", "1e-200", "-0.1", "7.25"][..]).prop_map(str::to_owned);
    let operator = prop::sample::select(&["+", "-", "*", "/", "%"][..]);
    prop_oneof![statistic, constant].prop_recursive(3, 8, 2, move |inner| {
        (inner.clone(), operator.clone(), inner)
            .prop_map(|(left, operator, right)| format!("({left} {operator} {right})"))
    })
}

fn condition() -> impl Strategy<Value = String> {
    let comparison = prop::sample::select(&["==", "!=", "<", "<=", ">", ">="][..]);
    // One side contains a statistic, because two integer constants would be compared when the script is parsed.
    let comparisons =
        (number(), comparison, number()).prop_map(|(left, op, right)| format!("{left} {op} {right} + p99 * 0.0"));
    comparisons.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left}) && ({right})")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left}) || ({right})")),
            inner.prop_map(|inner| format!("!({inner})")),
        ]
    })
}

fn stats() -> impl Strategy<Value = Stats> {
    let value = || prop::sample::select(&NUMBERS[..]);
    (0..30_u64, 0..30_u64, value(), value(), value(), value()).prop_map(|(count, errors, error_rate, rps, p50, p95)| {
        stats_with(|stats| {
            stats.count = count;
            stats.errors = errors;
            stats.error_rate = error_rate;
            stats.rps = rps;
            stats.p50 = p50;
            stats.p95 = p95;
        })
    })
}

fn load(dir: &Path, name: &str, text: &str) -> Result<Arc<dyn AlertPolicy>, Error> {
    let file = dir.join("alerts").join(name);
    std::fs::create_dir_all(dir.join("alerts")).unwrap();
    std::fs::write(&file, text).unwrap();
    let loaded = load_policy(&file, None, &policies_config(dir))?;
    Ok(loaded.into_alert().expect("a script in alerts/ is an alert condition"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn formula_equals_the_interpreter(text in condition(), samples in prop::collection::vec(stats(), 8)) {
        let dir = tempfile::tempdir().unwrap();
        // A script that declares a variable runs in the interpreter. A condition that is rejected, such as
        // `0.1 == 0.3`, is rejected in both forms.
        let script_text = format!("let x = 1.0; x > 0.5 && ({text})");
        let (formula, script) = (load(dir.path(), "a.rhai", &text), load(dir.path(), "b.rhai", &script_text));
        if let (Ok(formula), Ok(script)) = (formula, script) {
            for stats in samples {
                let snapshot = Snapshot::new("taobao", stats.clone());
                let view: Arc<dyn HostView> = Arc::new(FnHostView(move |_| stats.clone()));
                let evaluate = |policy: &Arc<dyn AlertPolicy>| policy.evaluate(&snapshot, &view).map_err(|fault| fault.kind);
                prop_assert_eq!(evaluate(&formula), evaluate(&script), "{} on {:?}", text, snapshot.stats);
            }
        }
    }
}
