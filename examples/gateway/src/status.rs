//! What the gateway says of itself under `/-/`.

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

/// What has no answer while Redis is away.
type Answer = Result<Json<Value>, (StatusCode, String)>;

async fn alerts(State(host): State<Host>) -> Answer {
    let active = host.alerts().active().await.map_err(away)?;
    let history = host.alerts().history(None, 100).await.map_err(away)?;
    Ok(Json(json!({ "active": active, "history": history })))
}

async fn metrics(State(host): State<Host>) -> Answer {
    let mut figures = BTreeMap::new();
    for platform in host.endpoints().await.map_err(away)?.into_keys() {
        let stats = host.figures(&platform, None, HOUR).await.map_err(away)?;
        figures.insert(platform, stats);
    }
    Ok(Json(json!({ "window": "1h", "platforms": figures })))
}

fn away(error: StoreError) -> (StatusCode, String) {
    (StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}
