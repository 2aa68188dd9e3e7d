//! Admission policies set the cost of a request and select its limits, through the library and over HTTP.

use std::collections::BTreeMap;
use std::path::Path;

use http::StatusCode;
use serde_json::{Value, json};
use tidegate::{Admitted, Config, Host, Request};
use tidegate_core::{Admission, FaultKind};
use tidegate_policy::Policies;

use crate::http::send;
use crate::policies::policies_config;

/// Requests to `orders` cost 2 and also use a limit of their own. Requests to `closed` are denied.
const SCRIPT: &str = r#"
if endpoint == "closed" { return deny("closed for the night", 503); }
if endpoint == "orders" { return allow(2, #{api: "orders", seller: label("seller") + "!"}); }
if endpoint == "header" { return allow(header("X-Cost").parse_int()); }
if endpoint == "free" { return allow(0); }
if endpoint == "loop" { loop {} }
abstain()
"#;

const LIMITS: &str = "
[limits.pdd]
rate = '1/h'
burst = 10
[limits.pdd_orders]
rate = '1/h'
burst = 5
platform = 'pdd'
labels = { api = 'orders' }
";

fn policies(dir: &Path) -> std::sync::Arc<Policies> {
    std::fs::create_dir(dir.join("admit")).unwrap();
    std::fs::write(dir.join("admit/pdd.rhai"), SCRIPT).unwrap();
    let policies = Policies::open(&policies_config(dir));
    assert_eq!(policies.reload().rejected, BTreeMap::new());
    policies
}

fn host(dir: &Path) -> Host {
    let config = Config::parse(LIMITS).unwrap();
    Host::builder().config(config).policies(policies(dir)).build().unwrap()
}

fn request(endpoint: &str) -> Request {
    Request::new("pdd").with_endpoint(endpoint)
}

#[test]
fn admission_script_allows_denies_or_abstains() {
    let dir = tempfile::tempdir().unwrap();
    let policies = policies(dir.path());
    let admit = |endpoint: &str| policies.admit(&request(endpoint));
    let deny = Admission::Deny { reason: "closed for the night".into(), status: 503 };
    assert_eq!(admit("closed").verdict, deny);
    assert_eq!((admit("goods").verdict, &*admit("goods").policy), (Admission::Default, "fallback"));
    let with_label = request("orders").with_labels([("seller", "7")]);
    let scope = [("api".to_owned(), "orders".to_owned()), ("seller".to_owned(), "7!".to_owned())].into();
    assert_eq!(policies.admit(&with_label).verdict, Admission::Allow { cost: 2, scope });
    let with_cost_header = request("header").with_headers([("x-cost", "3")]);
    assert_eq!(policies.admit(&with_cost_header).verdict, Admission::Allow { cost: 3, scope: [].into() });
    for (endpoint, kind) in [("free", FaultKind::Type), ("loop", FaultKind::Operations)] {
        let decided = admit(endpoint);
        assert_eq!((decided.verdict, &*decided.policy), (Admission::Default, "fallback"), "{endpoint}");
        assert_eq!(decided.fault.map(|fault| fault.kind), Some(kind), "{endpoint}");
    }
}

#[tokio::test]
async fn reservation_takes_from_every_selected_limit_or_from_none() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    let available = |name: &str| host.limiter(name).unwrap().cached_status().available;
    let now = std::time::Duration::ZERO;
    let orders = host.admit(&request("orders")).await.unwrap();
    assert_eq!(orders.acquire(now).await.unwrap().remaining, 3);
    assert_eq!(orders.check().await.unwrap().remaining, 1);
    assert_eq!((available("pdd"), available("pdd_orders")), (6, 1));
    let refused = orders.reserve(now).await.unwrap_err();
    assert_eq!(
        (refused.limit.as_str(), available("pdd"), available("pdd_orders")),
        ("pdd_orders", 6, 1),
        "the cost is returned to the platform's limit"
    );
    let goods = host.admit(&request("goods")).await.unwrap();
    let default = |admitted: &Admitted| admitted.clone().with_default_cost(7).cost();
    assert_eq!((default(&orders), default(&goods)), (2, 7), "the cost of a policy has precedence");
    let reservations = goods.reserve(now).await.unwrap();
    assert_eq!((available("pdd"), available("pdd_orders")), (5, 1));
    reservations.cancel().await;
    assert_eq!(available("pdd"), 6);
}

#[tokio::test]
async fn request_that_is_not_admitted_returns_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    let error = host.admit(&request("closed")).await.unwrap_err();
    let denied = error.denied().unwrap();
    assert_eq!(
        (denied.reason.as_str(), denied.status, &*denied.policy),
        ("closed for the night", 503, "admit/pdd.rhai")
    );
    assert_eq!(error.to_string(), "admit/pdd.rhai denied the request: closed for the night");
    let error = host.admit(&Request::new("pdx")).await.unwrap_err();
    assert!(error.is_unknown_platform() && error.denied().is_none());
}

async fn post_admit(host: &Host, endpoint: &str) -> (StatusCode, Value) {
    let router = tidegate_server::http::router(host.clone(), None);
    let body = json!({ "platform": "pdd", "endpoint": endpoint, "labels": { "seller": "7" } });
    send(&router, "POST", "/v1/admit", Some(body)).await
}

#[tokio::test]
async fn admit_endpoint_reports_allowed_denied_and_limited_requests() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    let (status, body) = post_admit(&host, "orders").await;
    assert_eq!((status, &body["cost"], &body["limits"]), (StatusCode::OK, &json!(2), &json!(["pdd", "pdd_orders"])));
    assert_eq!((&body["remaining"], &body["policy"]), (&json!(3), &json!("admit/pdd.rhai")));
    let (status, body) = post_admit(&host, "closed").await;
    let denied =
        json!({ "decision": "denied", "reason": "closed for the night", "status": 503, "policy": "admit/pdd.rhai" });
    assert_eq!((status, body), (StatusCode::FORBIDDEN, denied));
    post_admit(&host, "orders").await;
    let (status, body) = post_admit(&host, "orders").await;
    assert_eq!((status, &body["limit"]), (StatusCode::TOO_MANY_REQUESTS, &json!("pdd_orders")), "{body}");
}
