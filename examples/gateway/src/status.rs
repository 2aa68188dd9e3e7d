//! What the gateway says of itself under `/-/`.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tidegate::Host;

const HOUR: Duration = Duration::from_secs(3_600);

pub fn router(host: Host) -> Router {
    Router::new()
        .route("/policies", get(policies))
        .route("/alerts", get(alerts))
        .route("/metrics", get(metrics))
        .with_state(host)
}

async fn policies(State(host): State<Host>) -> Json<Value> {
    let Some(policies) = host.policies() else { return Json(json!({ "generation": 0, "policies": [] })) };
    Json(json!({ "generation": policies.generation().number(), "policies": policies.status() }))
}

async fn alerts(State(host): State<Host>) -> Json<Value> {
    Json(json!({ "active": host.alerts().active(), "history": host.alerts().history(None, 100) }))
}

async fn metrics(State(host): State<Host>) -> Json<Value> {
    let platforms = host.metrics().endpoints();
    let figures: BTreeMap<_, _> = platforms.keys().map(|name| (name, host.metrics().get(name, None, HOUR))).collect();
    Json(json!({ "window": "1h", "platforms": figures }))
}
