//! Alerts and policies: what fires, what people were told, what is in force.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate::Host;

use super::reply::{Params, Problem};

/// Which messages are asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    platform: Option<String>,
    #[serde(default = "hundred")]
    limit: usize,
}

fn hundred() -> usize {
    100
}

pub async fn list(State(host): State<Host>, Params(wanted): Params<Wanted>) -> Result<Json<Value>, Problem> {
    if let Some(platform) = &wanted.platform {
        host.limiter(platform)?;
    }
    let history = host.alerts().history(wanted.platform.as_deref(), wanted.limit).await?;
    Ok(Json(json!({ "active": host.alerts().active().await?, "history": history })))
}

pub async fn policies(State(host): State<Host>) -> Json<Value> {
    let Some(policies) = host.policies() else { return Json(json!({ "generation": 0, "policies": [] })) };
    Json(json!({
        "generation": policies.generation().number(),
        "policies": policies.status(),
        "trouble": policies.generation().trouble(),
        "config": host.config_status(),
        "decisions": policies.decisions(),
    }))
}
