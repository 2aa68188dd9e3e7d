//! Fuzz targets of the host's reader of guest results. The guests return the bytes that their input contains.

use std::path::Path;

use tidegate_core::{Action, Admission, AlertVerdict, Failure, Fault, FaultKind, Request, Snapshot};
use tidegate_policy::PolicyKind;
use tidegate_policy::wasm::{WasmBinary, WasmEngine};
use tidegate_tests::corpus::HostilePolicy;

use super::{MAX_MESSAGE, fuzz};
use crate::policies::{empty_view, policies_config};

/// The maximum length of a text that the host accepts from a guest, in bytes.
const MAX_GUEST_TEXT: usize = 512;

/// Encodes each byte as two letters from `a` to `p`, which the guests decode.
fn encode(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|half| char::from(b'a' + half)).collect()
}

fn component(name: &str) -> Vec<u8> {
    HostilePolicy::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("guests").join(name)).unwrap().bytes
}

/// Asserts that a fault is caused by the guest and has a short message.
fn assert_guest_fault(fault: &Fault) {
    assert!(matches!(fault.kind, FaultKind::Type | FaultKind::Trap | FaultKind::Memory), "{fault}");
    assert!(fault.message.len() <= MAX_MESSAGE && !fault.message.contains("panicked"), "{fault}");
}

/// Prepends the address of the result in the guest's memory to each result.
fn seeds(results: &[&[u8]]) -> Vec<Vec<u8>> {
    // The guest decodes the input to address 128. The first 4 bytes are the address of the result: 136, which is
    // directly after these 8 bytes.
    results.iter().map(|result| [&[136, 0, 0, 0, 0, 0, 0, 0], *result].concat()).collect()
}

/// Returns a number as 4 bytes.
const fn bytes_of(number: u32) -> [u8; 4] {
    number.to_le_bytes()
}

#[test]
fn retry_policies() {
    let config = policies_config(Path::new("."));
    let engine = WasmEngine::new(&config).unwrap();
    let bytes = component("scripted_retry.wat");
    let loaded =
        engine.load(PolicyKind::Retry, "retry/x.wasm", &WasmBinary::new(&bytes), &config.resolve("retry/x.wasm"));
    let policy = loaded.unwrap().into_retry().unwrap();
    let call = |sub_code| {
        let mut failure = Failure::default();
        failure.sub_code = sub_code;
        policy.classify(&failure, &empty_view())
    };
    let text = |length: u32| {
        [[1, 1, 4, 0, 0, 0, 0, 0], [0; 8], [0; 8]]
            .concat()
            .into_iter()
            .chain([1, 0, 0, 0])
            .chain(bytes_of(144))
            .chain(bytes_of(length))
    };
    let (short, long): (Vec<_>, Vec<_>) = (text(3).collect(), text(70_000).collect());
    fuzz(
        "retry_policies",
        seeds(&[&[2], &[0, 1, 0], &[0, 1, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 255], &short, &long]),
        |input| {
            match call(Some(encode(input))) {
                Ok(verdict) => {
                    assert!(verdict.class.is_some() || verdict.action == Action::Default, "{verdict:?}");
                    assert!(verdict.reason.is_none_or(|reason| reason.len() <= MAX_GUEST_TEXT));
                }
                Err(fault) => assert_guest_fault(&fault),
            }
            assert!(call(None).is_ok(), "the policy still returns a verdict");
        },
    );
}

#[test]
fn conditions() {
    let config = policies_config(Path::new("."));
    let engine = WasmEngine::new(&config).unwrap();
    let bytes = component("scripted_alert.wat");
    let loaded =
        engine.load(PolicyKind::Alert, "alerts/x.wasm", &WasmBinary::new(&bytes), &config.resolve("alerts/x.wasm"));
    let policy = loaded.unwrap().into_alert().unwrap();
    let call = |endpoint| {
        let mut snapshot = Snapshot::default();
        snapshot.endpoint = endpoint;
        policy.evaluate(&snapshot, &empty_view())
    };
    let text = |length| [[1, 0, 0, 0], [1, 0, 0, 0], bytes_of(144), bytes_of(length)].concat();
    fuzz("conditions", seeds(&[&[0], &[1], &text(3), &text(70_000)]), |input| {
        match call(Some(encode(input))) {
            Ok(AlertVerdict::Firing { detail }) => assert!(detail.is_none_or(|detail| detail.len() <= MAX_GUEST_TEXT)),
            Ok(AlertVerdict::Quiet) => {}
            Err(fault) => assert_guest_fault(&fault),
        }
        assert_eq!(call(None), Ok(AlertVerdict::Quiet));
    });
}

#[test]
fn admissions() {
    let config = policies_config(Path::new("."));
    let engine = WasmEngine::new(&config).unwrap();
    let bytes = component("scripted_admit.wat");
    let loaded =
        engine.load(PolicyKind::Admit, "admit/x.wasm", &WasmBinary::new(&bytes), &config.resolve("admit/x.wasm"));
    let policy = loaded.unwrap().into_admit().unwrap();
    let call = |endpoint| policy.admit(&Request::default().with_endpoint(endpoint), &empty_view());
    let allow = |cost, labels| [bytes_of(1), bytes_of(cost), bytes_of(144), bytes_of(labels)].concat();
    let deny = |length, status| [bytes_of(2), bytes_of(144), bytes_of(length), bytes_of(status)].concat();
    let rows =
        [allow(1, 0), allow(0, 0), allow(7, 2), allow(1, 5_000_000), deny(3, 403), deny(70_000, 599), deny(0, 200)];
    let rows: Vec<_> = rows.iter().map(Vec::as_slice).chain([&[0][..]]).collect();
    fuzz("admissions", seeds(&rows), |input| {
        match call(encode(input)) {
            Ok(Admission::Allow { cost, scope }) => assert!(cost > 0 && scope.len() <= 16),
            Ok(Admission::Deny { reason, status }) => {
                assert!(reason.len() <= MAX_GUEST_TEXT && (400..600).contains(&status));
            }
            Ok(Admission::Default) => {}
            Err(fault) => assert_guest_fault(&fault),
        }
        assert_eq!(call(String::new()), Ok(Admission::Default));
    });
}
