//! Validates the admissions that policies return, in every language.

use tidegate_core::{Admission, Fault, FaultKind};

/// The maximum number of labels of a scope.
const MAX_LABELS: usize = 16;
/// The maximum size of a label's name or value, in bytes.
const MAX_LABEL_SIZE: usize = 128;

/// Returns the admission if it is valid.
///
/// # Errors
/// Returns a fault if the cost, the status or the scope is invalid.
pub fn validate(admission: Admission) -> Result<Admission, Fault> {
    let error = match &admission {
        Admission::Default => None,
        Admission::Allow { cost: 0, .. } => Some("invalid cost 0: expected at least 1".to_owned()),
        Admission::Allow { scope, .. } if scope.len() > MAX_LABELS => {
            Some(format!("invalid scope of {} labels: expected at most {MAX_LABELS}", scope.len()))
        }
        Admission::Allow { scope, .. } => {
            let is_invalid = |text: &String| text.is_empty() || text.len() > MAX_LABEL_SIZE;
            let has_invalid = scope.iter().any(|(name, value)| is_invalid(name) || is_invalid(value));
            has_invalid.then(|| format!("invalid label in the scope: expected 1 to {MAX_LABEL_SIZE} bytes"))
        }
        Admission::Deny { status, .. } => {
            (!(400..=599).contains(status)).then(|| format!("invalid status {status}: expected 400 to 599"))
        }
    };
    error.map_or(Ok(admission), |error| Err(Fault::new(FaultKind::Type, error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_cost_status_or_scope_is_a_fault() {
        let allow = |cost, labels: usize, size: usize| Admission::Allow {
            cost,
            scope: (0..labels).map(|n| (n.to_string(), "x".repeat(size))).collect(),
        };
        let deny = |status| Admission::Deny { reason: String::new(), status };
        let valid =
            [Admission::Default, allow(1, 0, 1), allow(u32::MAX, MAX_LABELS, MAX_LABEL_SIZE), deny(400), deny(599)];
        let invalid = [
            allow(0, 0, 1),
            allow(1, MAX_LABELS + 1, 1),
            allow(1, 1, MAX_LABEL_SIZE + 1),
            allow(1, 1, 0),
            deny(399),
            deny(600),
        ];
        assert!(valid.into_iter().all(|admission| validate(admission).is_ok()));
        for admission in invalid {
            assert_eq!(validate(admission.clone()).map_err(|fault| fault.kind), Err(FaultKind::Type), "{admission:?}");
        }
    }
}
