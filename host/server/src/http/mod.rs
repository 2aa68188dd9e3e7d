//! The HTTP API: JSON over HTTP for workers in any language.

mod admit;
mod alerts;
mod auth;
mod calls;
mod error;
mod limits;
mod locks;
mod prometheus;

use axum::extract::State;
use axum::routing::{delete, get, post};
use axum::{Json, Router, middleware};
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tidegate::Host;
use tidegate::core::Secret;
use tidegate::redis::{Redis, ServerState};

pub use error::ApiError;

/// The OpenAPI document, which describes every route for people and for client generators.
const OPENAPI: &str = include_str!("../../openapi.json");

/// Returns the router of the whole API. If a token is given, every route except `/healthz` and `/openapi.json`
/// requires it.
pub fn router(host: Host, token: Option<Secret>) -> Router {
    let guarded = Router::new()
        .route("/v1/limits", get(limits::list))
        .route("/v1/limits/{platform}", get(limits::show).put(limits::update))
        .route("/v1/limits/{platform}/acquire", post(limits::acquire))
        .route("/v1/limits/{platform}/cancel", post(limits::cancel))
        .route("/v1/limits/{platform}/reset", post(limits::reset))
        .route("/v1/admit", post(admit::admit))
        .route("/v1/calls", post(calls::record))
        .route("/v1/metrics", get(calls::metrics))
        .route("/v1/locks", get(locks::list))
        .route("/v1/locks/{name}", delete(locks::force_release))
        .route("/v1/locks/{name}/acquire", post(locks::acquire))
        .route("/v1/locks/{name}/extend", post(locks::extend))
        .route("/v1/locks/{name}/release", post(locks::release))
        .route("/v1/alerts", get(alerts::list))
        .route("/v1/policies", get(alerts::policies))
        .route("/v1/redis", get(redis))
        .route("/metrics", get(prometheus::page))
        .route_layer(middleware::from_fn_with_state(auth::TokenHash::new(token), auth::authorize));
    Router::new()
        .route("/healthz", get(health))
        .route("/openapi.json", get(async || ([(CONTENT_TYPE, "application/json")], OPENAPI)))
        .merge(guarded)
        .fallback(error::no_such_route)
        .with_state(host)
}

/// Reports that the process is alive and whether the latest configuration and policies are active.
///
/// The route needs no token, so the response contains no server names.
async fn health(State(host): State<Host>) -> Json<Value> {
    let generation = host.policies().map(|policies| policies.generation());
    let policies = generation.as_ref().map(|generation| generation.status()).unwrap_or_default();
    let stale = policies.iter().filter(|policy| policy.stale.is_some()).count();
    let quarantined = policies.iter().filter(|policy| policy.quarantined.is_some()).count();
    let readable = generation.as_ref().is_none_or(|generation| generation.directory_error().is_none());
    let config = host.config_status();
    let redis = host.redis().map(Redis::health);
    let status = match &redis {
        Some(redis) if redis.state != ServerState::Up => "degraded",
        _ if stale + quarantined > 0 || !readable || config.stale.is_some() => "stale",
        _ => "ok",
    };
    let number = generation.as_ref().map_or(0, |generation| generation.number());
    Json(json!({
        "status": status,
        "policies": { "generation": number, "stale": stale, "quarantined": quarantined, "readable": readable },
        "config": { "reloads": config.reloads, "stale": config.stale.is_some() },
        "redis": redis.map(|redis| json!({ "state": redis.state, "state_duration_ms": redis.state_duration_ms })),
    }))
}

/// Reports the health of the Redis connection, including server names.
async fn redis(State(host): State<Host>) -> Json<Value> {
    let Some(redis) = host.redis() else { return Json(json!({ "configured": false })) };
    let mut health = json!(redis.health());
    health["configured"] = json!(true);
    Json(health)
}
