//! Guests that answer whatever bytes they are told to.

use std::path::Path;
use std::sync::Arc;

use tidegate_core::{
    Action, Admission, AdmitPolicy, AlertPolicy, AlertVerdict, Failure, Fault, FaultKind, Request, RetryPolicy,
    Snapshot,
};
use tidegate_policy::wasm::WasmEngine;
use tidegate_tests::corpus::Hostile;

use super::{MAX_WORDS, fuzz};
use crate::policies::{empty_view, policies_config};

/// The longest text that is taken over from a guest.
const TAKEN: usize = 512;

/// Byte by byte in two letters from `a` to `p`, which is how the guests read what to answer.
fn letters(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|half| char::from(b'a' + half)).collect()
}

fn component(name: &str) -> Vec<u8> {
    Hostile::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("guests").join(name)).unwrap().bytes
}

/// A fault is the guest's, and told in a few words.
fn is_the_guests(fault: &Fault) {
    assert!(matches!(fault.kind, FaultKind::Type | FaultKind::Trap | FaultKind::Memory), "{fault}");
    assert!(fault.message.len() <= MAX_WORDS && !fault.message.contains("panicked"), "{fault}");
}

/// Answers at their place in memory, by numbers and bytes.
fn seeds(numbers: &[&[u8]]) -> Vec<Vec<u8>> {
    // The first four bytes say where the answer lies: at 136, behind them.
    numbers.iter().map(|answer| [&[136, 0, 0, 0, 0, 0, 0, 0], *answer].concat()).collect()
}

/// A number in four bytes.
const fn four(number: u32) -> [u8; 4] {
    number.to_le_bytes()
}

#[test]
fn classifiers() {
    let config = policies_config(Path::new("."));
    let engine = WasmEngine::new(&config).unwrap();
    let bytes = component("scripted_retry.wat");
    let policy: Arc<dyn RetryPolicy> = engine.load_retry("retry/x.wasm", &bytes, &config.resolve("retry/x.wasm")).unwrap();
    let ask = |sub_code| policy.classify(&Failure { sub_code, ..Failure::default() }, &empty_view());
    let text = |long: u32| {
        [[1, 1, 4, 0, 0, 0, 0, 0], [0; 8], [0; 8]]
            .concat()
            .into_iter()
            .chain([1, 0, 0, 0])
            .chain(four(144))
            .chain(four(long))
    };
    let (short, long): (Vec<_>, Vec<_>) = (text(3).collect(), text(70_000).collect());
    fuzz(
        "classifiers",
        seeds(&[&[2], &[0, 1, 0], &[0, 1, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 255], &short, &long]),
        |input| {
            match ask(Some(letters(input))) {
                Ok(verdict) => {
                    assert!(verdict.class.is_some() || verdict.action == Action::Default, "{verdict:?}");
                    assert!(verdict.reason.is_none_or(|reason| reason.len() <= TAKEN));
                }
                Err(fault) => is_the_guests(&fault),
            }
            assert!(ask(None).is_ok(), "and in peace it answers");
        },
    );
}

#[test]
fn conditions() {
    let config = policies_config(Path::new("."));
    let engine = WasmEngine::new(&config).unwrap();
    let bytes = component("scripted_alert.wat");
    let policy: Arc<dyn AlertPolicy> = engine.load_alert("alerts/x.wasm", &bytes, &config.resolve("alerts/x.wasm")).unwrap();
    let ask = |endpoint| policy.evaluate(&Snapshot { endpoint, ..Snapshot::default() }, &empty_view());
    let text = |long| [[1, 0, 0, 0], [1, 0, 0, 0], four(144), four(long)].concat();
    fuzz("conditions", seeds(&[&[0], &[1], &text(3), &text(70_000)]), |input| {
        match ask(Some(letters(input))) {
            Ok(AlertVerdict::Firing { detail }) => assert!(detail.is_none_or(|detail| detail.len() <= TAKEN)),
            Ok(AlertVerdict::Quiet) => {}
            Err(fault) => is_the_guests(&fault),
        }
        assert_eq!(ask(None), Ok(AlertVerdict::Quiet));
    });
}

#[test]
fn admissions() {
    let config = policies_config(Path::new("."));
    let engine = WasmEngine::new(&config).unwrap();
    let bytes = component("scripted_admit.wat");
    let policy: Arc<dyn AdmitPolicy> = engine.load_admit("admit/x.wasm", &bytes, &config.resolve("admit/x.wasm")).unwrap();
    let ask = |endpoint| policy.admit(&Request { endpoint, ..Request::default() }, &empty_view());
    let allow = |cost, labels| [four(1), four(cost), four(144), four(labels)].concat();
    let deny = |long, status| [four(2), four(144), four(long), four(status)].concat();
    let rows =
        [allow(1, 0), allow(0, 0), allow(7, 2), allow(1, 5_000_000), deny(3, 403), deny(70_000, 599), deny(0, 200)];
    let rows: Vec<_> = rows.iter().map(Vec::as_slice).chain([&[0][..]]).collect();
    fuzz("admissions", seeds(&rows), |input| {
        match ask(letters(input)) {
            Ok(Admission::Allow { cost, scope }) => assert!(cost > 0 && scope.len() <= 16),
            Ok(Admission::Deny { reason, status }) => assert!(reason.len() <= TAKEN && (400..600).contains(&status)),
            Ok(Admission::Default) => {}
            Err(fault) => is_the_guests(&fault),
        }
        assert_eq!(ask(String::new()), Ok(Admission::Default));
    });
}
