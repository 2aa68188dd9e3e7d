//! The admission policy for {{name}}: decides whether a request is sent, at what cost and through which limits.
//!
//! Replace the endpoint and the label with your own. A limit of the platform applies if the scope contains all of its
//! labels.

use tidegate_sdk::{Admission, AdmitPolicy, Request};

/// The admission policy for {{name}}.
pub struct Policy;

/// The platform counts an export as ten calls.
const EXPORT_COST: u32 = 10;

impl AdmitPolicy for Policy {
    fn admit(request: Request) -> Admission {
        let Some(seller) = request.label("seller") else {
            return Admission::deny("the label `seller` is missing", 400);
        };
        let cost = if request.endpoint == "orders.export" { EXPORT_COST } else { 1 };
        Admission::allow(cost).with_scope("seller", seller)
    }
}

tidegate_sdk::export_admit!(Policy);

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(endpoint: &str, labels: &[(&str, &str)]) -> Admission {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Policy::admit(Request { endpoint: endpoint.to_owned(), labels, ..Request::default() })
    }

    #[test]
    fn an_export_costs_ten_and_other_calls_cost_one() {
        for (endpoint, cost) in [("orders.export", 10), ("orders.list", 1)] {
            let expected = Admission::allow(cost).with_scope("seller", "7");
            assert_eq!(admit(endpoint, &[("seller", "7")]), expected, "{endpoint}");
        }
    }

    #[test]
    fn a_request_without_a_seller_is_denied() {
        assert!(matches!(admit("orders.list", &[]), Admission::Deny(_)));
    }
}
