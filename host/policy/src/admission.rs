//! What an admission may say, whichever language says it.

use tidegate_core::{Admission, Fault, FaultKind};

/// The most labels of a scope, and the longest name or value of one, in bytes.
const MAX_LABELS: usize = 16;
const MAX_LABEL: usize = 128;

/// The admission, if it is one.
///
/// # Errors
/// A fault where a cost, a status or a scope is none.
pub fn checked(admission: Admission) -> Result<Admission, Fault> {
    let wrong = match &admission {
        Admission::Default => None,
        Admission::Allow { cost: 0, .. } => Some("a cost of 0; what goes costs at least 1".to_owned()),
        Admission::Allow { scope, .. } if scope.len() > MAX_LABELS => {
            Some(format!("a scope of {} labels; at most {MAX_LABELS} can stand there", scope.len()))
        }
        Admission::Allow { scope, .. } => {
            let long = |text: &String| text.is_empty() || text.len() > MAX_LABEL;
            let odd = scope.iter().any(|(name, value)| long(name) || long(value));
            odd.then(|| format!("a label that is empty or longer than {MAX_LABEL} bytes"))
        }
        Admission::Deny { status, .. } => {
            (!(400..=599).contains(status)).then(|| format!("the status {status}; expected 400 to 599"))
        }
    };
    wrong.map_or(Ok(admission), |wrong| Err(Fault::new(FaultKind::Type, wrong)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admission_has_a_cost_a_refusal_a_status_of_an_error_and_a_scope_an_end() {
        let allow = |cost, labels: usize, long: usize| Admission::Allow {
            cost,
            scope: (0..labels).map(|n| (n.to_string(), "x".repeat(long))).collect(),
        };
        let deny = |status| Admission::Deny { reason: String::new(), status };
        let good = [Admission::Default, allow(1, 0, 1), allow(u32::MAX, MAX_LABELS, MAX_LABEL), deny(400), deny(599)];
        let bad = [
            allow(0, 0, 1),
            allow(1, MAX_LABELS + 1, 1),
            allow(1, 1, MAX_LABEL + 1),
            allow(1, 1, 0),
            deny(399),
            deny(600),
        ];
        assert!(good.into_iter().all(|one| checked(one).is_ok()));
        for one in bad {
            assert_eq!(checked(one.clone()).map_err(|fault| fault.kind), Err(FaultKind::Type), "{one:?}");
        }
    }
}
