//! Alerts and policies: active alerts, the history of notifications, and the status of every policy file.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate::Host;

use super::error::{ApiError, QueryParams};

/// The query of `GET /v1/alerts`: which notifications the history contains.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertsQuery {
    platform: Option<String>,
    #[serde(default = "default_limit")]
    limit: usize,
}

fn default_limit() -> usize {
    100
}

pub async fn list(
    State(host): State<Host>,
    QueryParams(query): QueryParams<AlertsQuery>,
) -> Result<Json<Value>, ApiError> {
    if let Some(platform) = &query.platform {
        host.limiter(platform)?;
    }
    let history = host.alerts().history(query.platform.as_deref(), query.limit).await?;
    Ok(Json(json!({ "active": host.alerts().active().await?, "history": history })))
}

pub async fn policies(State(host): State<Host>) -> Json<Value> {
    let Some(policies) = host.policies() else { return Json(json!({ "generation": 0, "policies": [] })) };
    Json(json!({
        "generation": policies.generation().number(),
        "policies": policies.status(),
        "directory_error": policies.generation().directory_error(),
        "config": host.config_status(),
        "decisions": policies.decision_log_status(),
    }))
}
