//! The status pages of the gateway under `/-/`.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};
use tidegate::{Host, StoreError};

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

/// A status page, or 503 while Redis is unavailable.
type StatusResult = Result<Json<Value>, (StatusCode, String)>;

async fn alerts(State(host): State<Host>) -> StatusResult {
    let active = host.alerts().active().await.map_err(unavailable)?;
    let history = host.alerts().history(None, 100).await.map_err(unavailable)?;
    Ok(Json(json!({ "active": active, "history": history })))
}

async fn metrics(State(host): State<Host>) -> StatusResult {
    let mut platforms = BTreeMap::new();
    for platform in host.endpoints().await.map_err(unavailable)?.into_keys() {
        let stats = host.stats(&platform, None, HOUR).await.map_err(unavailable)?;
        platforms.insert(platform, stats);
    }
    Ok(Json(json!({ "window": "1h", "platforms": platforms })))
}

fn unavailable(error: StoreError) -> (StatusCode, String) {
    (StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}
