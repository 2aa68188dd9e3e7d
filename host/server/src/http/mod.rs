//! The door for workers in any language: JSON over HTTP.

mod alerts;
mod auth;
mod calls;
mod limits;
mod locks;
mod prometheus;
mod reply;

use axum::extract::State;
use axum::routing::{delete, get, post};
use axum::{Json, Router, middleware};
use serde_json::{Value, json};
use tidegate::Host;
use tidegate::core::Secret;

pub use reply::Problem;

/// All routes; with a token, all but `/healthz` demand it.
pub fn router(host: Host, token: Option<Secret>) -> Router {
    let guarded = Router::new()
        .route("/v1/limits", get(limits::list))
        .route("/v1/limits/{platform}", get(limits::show).put(limits::update))
        .route("/v1/limits/{platform}/acquire", post(limits::acquire))
        .route("/v1/limits/{platform}/reset", post(limits::reset))
        .route("/v1/calls", post(calls::record))
        .route("/v1/metrics", get(calls::metrics))
        .route("/v1/locks", get(locks::list))
        .route("/v1/locks/{name}", delete(locks::evict))
        .route("/v1/locks/{name}/acquire", post(locks::acquire))
        .route("/v1/locks/{name}/extend", post(locks::extend))
        .route("/v1/locks/{name}/release", post(locks::release))
        .route("/v1/alerts", get(alerts::list))
        .route("/v1/policies", get(alerts::policies))
        .route("/metrics", get(prometheus::page))
        .route_layer(middleware::from_fn_with_state(auth::Guard::new(token), auth::demand));
    Router::new().route("/healthz", get(health)).merge(guarded).fallback(reply::no_such_route).with_state(host)
}

/// Alive, and whether all that people edited is in force.
async fn health(State(host): State<Host>) -> Json<Value> {
    let stale =
        host.policies().map_or(0, |policies| policies.status().iter().filter(|one| one.stale.is_some()).count());
    let config = host.config_status();
    let status = if stale == 0 && config.stale.is_none() { "ok" } else { "stale" };
    let generation = host.policies().map_or(0, |policies| policies.generation().number());
    Json(json!({
        "status": status,
        "policies": { "generation": generation, "stale": stale },
        "config": { "reloads": config.reloads, "stale": config.stale.is_some() },
    }))
}
