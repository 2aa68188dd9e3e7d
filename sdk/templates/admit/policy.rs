//! Whether a request to {{name}} goes, at what cost and through which limits.
//!
//! Replace the endpoint and the label by your own. A scope picks the limits of the platform whose labels are all in it.

use tidegate_sdk::{Admission, Admit, Request};

/// What requests to {{name}} cost.
pub struct Policy;

/// The platform counts an export as ten calls.
const COST_OF_EXPORT: u32 = 10;

impl Admit for Policy {
    fn admit(request: Request) -> Admission {
        let Some((_, seller)) = request.labels.iter().find(|(name, _)| name == "seller") else {
            return Admission::deny("say for which seller this call is", 400);
        };
        let cost = if request.endpoint == "orders.export" { COST_OF_EXPORT } else { 1 };
        Admission::allow(cost).scoped("seller", seller)
    }
}

tidegate_sdk::export_admit!(Policy);

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(endpoint: &str, labels: &[(&str, &str)]) -> Admission {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Policy::admit(Request { endpoint: endpoint.to_owned(), labels, ..Request::default() })
    }

    #[test]
    fn an_export_costs_ten_calls_and_anything_else_one() {
        for (endpoint, cost) in [("orders.export", 10), ("orders.list", 1)] {
            assert_eq!(asked(endpoint, &[("seller", "7")]), Admission::allow(cost).scoped("seller", "7"), "{endpoint}");
        }
    }

    #[test]
    fn a_call_of_nobody_does_not_go() {
        assert!(matches!(asked("orders.list", &[]), Admission::Deny(_)));
    }
}
