//! Properties of the public types: they can be shared between threads, formatted for debugging and compared in tests.

use std::fmt::Debug;

use tidegate_sdk::{
    Action, Admission, AlertVerdict, Allowance, Class, Denial, Failure, FailureKind, Level, LimitState, Request,
    Setting, Settings, Snapshot, Stats, Verdict,
};

#[test]
fn public_types_are_shared_between_threads_and_have_debug_and_eq() {
    fn check<T: Send + Sync + Debug + Clone + PartialEq>() {}
    check::<Action>();
    check::<Admission>();
    check::<AlertVerdict>();
    check::<Allowance>();
    check::<Class>();
    check::<Denial>();
    check::<Failure>();
    check::<FailureKind>();
    check::<Level>();
    check::<LimitState>();
    check::<Request>();
    check::<Setting>();
    check::<Settings>();
    check::<Snapshot>();
    check::<Stats>();
    check::<Verdict>();
}

#[test]
fn classes_and_kinds_are_displayed_with_the_names_of_the_contract() {
    let classes = [Class::Throttled, Class::Quota, Class::Transient, Class::Auth, Class::Permanent];
    assert_eq!(classes.map(|class| class.to_string()).join(" "), "throttled quota transient auth permanent");
    let kinds = [FailureKind::Timeout, FailureKind::Connection, FailureKind::Response];
    assert_eq!(kinds.map(|kind| kind.to_string()).join(" "), "timeout connection response");
}
