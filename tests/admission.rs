//! Admission: a policy says what a request costs and which limits it passes, in a gateway and over HTTP.

use std::path::Path;

use http::StatusCode;
use serde_json::{Value, json};
use tidegate::{Config, Host, Request};
use tidegate_core::config::SystemEnv;
use tidegate_core::{Admission, FaultKind};
use tidegate_policy::Policies;

use crate::http::ask;
use crate::policies::policies_config;

/// Orders cost 2 and have a limit of their own; nothing goes to the endpoint `closed`.
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
    assert_eq!(policies.reload().refused, [""; 0]);
    policies
}

fn host(dir: &Path) -> Host {
    let config = Config::parse(LIMITS, &SystemEnv::default()).unwrap();
    Host::builder().config(config).policies(policies(dir)).build().unwrap()
}

fn request(endpoint: &str) -> Request {
    Request { platform: "pdd".into(), endpoint: endpoint.into(), ..Request::default() }
}

#[test]
fn a_script_allows_denies_or_has_no_opinion() {
    let dir = tempfile::tempdir().unwrap();
    let policies = policies(dir.path());
    let admit = |endpoint: &str| policies.admit(&request(endpoint));
    let deny = Admission::Deny { reason: "closed for the night".into(), status: 503 };
    assert_eq!(admit("closed").verdict, deny);
    assert_eq!((admit("goods").verdict, &*admit("goods").by), (Admission::Default, "fallback"));
    let labelled = Request { labels: [("seller".to_owned(), "7".to_owned())].into(), ..request("orders") };
    let scope = [("api".to_owned(), "orders".to_owned()), ("seller".to_owned(), "7!".to_owned())].into();
    assert_eq!(policies.admit(&labelled).verdict, Admission::Allow { cost: 2, scope });
    let priced = Request { headers: vec![("x-cost".into(), "3".into())], ..request("header") };
    assert_eq!(policies.admit(&priced).verdict, Admission::Allow { cost: 3, scope: [].into() });
    for (endpoint, kind) in [("free", FaultKind::Type), ("loop", FaultKind::Operations)] {
        let decided = admit(endpoint);
        assert_eq!((decided.verdict, &*decided.by), (Admission::Default, "fallback"), "{endpoint}");
        assert_eq!(decided.fault.map(|fault| fault.kind), Some(kind), "{endpoint}");
    }
}

#[tokio::test]
async fn a_request_passes_every_limit_that_is_picked_or_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    let left = |name: &str| host.limiter(name).unwrap().seen().available;
    let now = std::time::Duration::ZERO;
    let orders = host.admit(&request("orders")).unwrap().unwrap_or_else(|denied| panic!("{denied:?}"));
    for _ in 0..2 {
        assert!(orders.take(now).await.is_ok());
    }
    assert_eq!((left("pdd"), left("pdd_orders")), (6, 1));
    let (limit, _) = orders.take(now).await.unwrap_err();
    assert_eq!(
        (limit.as_str(), left("pdd"), left("pdd_orders")),
        ("pdd_orders", 6, 1),
        "the platform got its cost back"
    );
    let goods = host.admit(&request("goods")).unwrap().unwrap_or_else(|denied| panic!("{denied:?}"));
    let (_, receipts) = goods.take(now).await.unwrap();
    assert_eq!((left("pdd"), left("pdd_orders")), (5, 1));
    goods.give_back(&receipts).await;
    assert_eq!(left("pdd"), 6);
    assert!(host.admit(&Request { platform: "pdx".into(), ..request("orders") }).is_err());
}

async fn answer(host: &Host, endpoint: &str) -> (StatusCode, Value) {
    let door = tidegate_server::http::router(host.clone(), None);
    let body = json!({ "platform": "pdd", "endpoint": endpoint, "labels": { "seller": "7" } });
    ask(&door, "POST", "/v1/admit", Some(body)).await
}

#[tokio::test]
async fn a_gateway_asks_over_http() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    let (status, body) = answer(&host, "orders").await;
    assert_eq!((status, &body["cost"], &body["limits"]), (StatusCode::OK, &json!(2), &json!(["pdd", "pdd_orders"])));
    assert_eq!((&body["remaining"], &body["by"]), (&json!(3), &json!("admit/pdd.rhai")));
    let (status, body) = answer(&host, "closed").await;
    let denied =
        json!({ "decision": "denied", "reason": "closed for the night", "status": 503, "by": "admit/pdd.rhai" });
    assert_eq!((status, body), (StatusCode::FORBIDDEN, denied));
    answer(&host, "orders").await;
    let (status, body) = answer(&host, "orders").await;
    assert_eq!((status, &body["limit"]), (StatusCode::TOO_MANY_REQUESTS, &json!("pdd_orders")), "{body}");
}
