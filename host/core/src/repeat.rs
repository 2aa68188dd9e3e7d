//! Whether a failed call may be sent again.

use crate::{Class, FailureKind};

/// Returns whether a failed call may be sent again without the risk that the platform executes it twice.
///
/// A call that is not idempotent is retried only after a response of class `throttled`, because then the platform did
/// not execute it. Without a response it may have executed the call, whatever the class is. A call is idempotent if the
/// platform may execute it twice.
///
/// ```
/// use tidegate_core::{Class, FailureKind, may_repeat};
/// assert!(may_repeat(false, Some(Class::Throttled), FailureKind::Response));
/// assert!(!may_repeat(false, Some(Class::Transient), FailureKind::Timeout));
/// ```
#[must_use]
pub fn may_repeat(idempotent: bool, class: Option<Class>, kind: FailureKind) -> bool {
    let was_rejected = class == Some(Class::Throttled) && kind == FailureKind::Response;
    idempotent || was_rejected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_not_idempotent_may_be_repeated_only_after_it_was_rejected() {
        use Class::{Auth, Permanent, Quota, Throttled, Transient};
        use FailureKind::{Connection, Response, Timeout};
        for class in [None, Some(Throttled), Some(Quota), Some(Transient), Some(Auth), Some(Permanent)] {
            for kind in [Response, Timeout, Connection] {
                assert!(may_repeat(true, class, kind), "{class:?} {kind:?}");
                let was_rejected = (class, kind) == (Some(Throttled), Response);
                assert_eq!(may_repeat(false, class, kind), was_rejected, "{class:?} {kind:?}");
            }
        }
    }
}
