//! Properties of the public types: they can be shared between threads, formatted for debugging and compared in tests.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use tidegate_sdk::{
    Action, Admission, AlertVerdict, Allowance, Class, Denial, Failure, FailureKind, Level, LimitStatus,
    ParseNameError, Request, Setting, Settings, Snapshot, Stats, Verdict,
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
    check::<LimitStatus>();
    check::<ParseNameError>();
    check::<Request>();
    check::<Setting>();
    check::<Settings>();
    check::<Snapshot>();
    check::<Stats>();
    check::<Verdict>();
}

#[test]
fn names_are_those_of_the_contract_and_parse_to_the_same_value() {
    fn names<T: Copy + Debug + Display + FromStr<Err = ParseNameError> + PartialEq>(values: &[T]) -> String {
        let name = |value: &T| {
            assert_eq!(value.to_string().parse(), Ok(*value));
            value.to_string()
        };
        values.iter().map(name).collect::<Vec<_>>().join(" ")
    }
    let classes = [Class::Throttled, Class::Quota, Class::Transient, Class::Auth, Class::Permanent];
    assert_eq!(names(&classes), "throttled quota transient auth permanent");
    assert_eq!(
        names(&[FailureKind::Timeout, FailureKind::Connection, FailureKind::Response]),
        "timeout connection response"
    );
    assert_eq!(names(&[Action::Retry, Action::GiveUp, Action::Default]), "retry give_up default");
    assert_eq!(names(&[Level::Debug, Level::Info, Level::Warn]), "debug info warn");
    let error = "Timeout".parse::<FailureKind>().unwrap_err().to_string();
    assert_eq!(error, r#"expected "timeout", "connection" or "response", found "Timeout""#);
}
