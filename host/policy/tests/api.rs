//! Properties of the public types: they can be shared between threads and formatted for debugging.

use std::fmt::Debug;

use tidegate_core::Admission;
use tidegate_policy::*;

/// Compiles only if every type in the list is `Send`, `Sync` and `Debug`.
macro_rules! assert_send_sync_debug {
    ($($type:ty),* $(,)?) => {
        $(const _: () = send_sync_debug::<$type>();)*
    };
}

const fn send_sync_debug<T: Send + Sync + Debug>() {}
const fn send_debug<T: Send + Debug>() {}

assert_send_sync_debug!(
    DecisionsStatus,
    CandidateDifference,
    CandidateDifferences,
    Error,
    Generation,
    LoadedPolicy,
    Policies,
    PolicyDecision,
    PolicyDecision<Admission>,
    PolicyHashes,
    PolicyKind,
    PolicyLanguage,
    PolicyStatus,
    ReloadReport,
    Rule,
    RuleScope,
    Watch,
);

// Only one thread at a time can wait for generations.
const _: () = send_debug::<Generations>();

#[test]
fn names_of_policies_are_text_and_directories() {
    let kinds = PolicyKind::ALL.iter().map(|kind| (kind.as_str(), kind.folder())).collect::<Vec<_>>();
    assert_eq!(kinds, [("retry", "retry"), ("alert", "alerts"), ("admit", "admit")]);
    assert_eq!("alert".parse(), Ok(PolicyKind::Alert));
    assert!("alerts".parse::<PolicyKind>().is_err());
    assert_eq!(RuleScope::NAMES, ["platform", "endpoint"]);
}
