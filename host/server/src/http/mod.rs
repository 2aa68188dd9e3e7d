//! The door for workers in any language: JSON over HTTP.

mod admit;
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
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tidegate::Host;
use tidegate::core::Secret;
use tidegate::redis::{Redis, ServerState};

pub use reply::Problem;

/// What all routes take and give, for people and generators of clients.
const OPENAPI: &str = include_str!("../../openapi.json");

/// All routes; with a token, all but `/healthz` and `/openapi.json` demand it.
pub fn router(host: Host, token: Option<Secret>) -> Router {
    let guarded = Router::new()
        .route("/v1/limits", get(limits::list))
        .route("/v1/limits/{platform}", get(limits::show).put(limits::update))
        .route("/v1/limits/{platform}/acquire", post(limits::acquire))
        .route("/v1/limits/{platform}/release", post(limits::release))
        .route("/v1/limits/{platform}/reset", post(limits::reset))
        .route("/v1/admit", post(admit::admit))
        .route("/v1/calls", post(calls::record))
        .route("/v1/metrics", get(calls::metrics))
        .route("/v1/locks", get(locks::list))
        .route("/v1/locks/{name}", delete(locks::evict))
        .route("/v1/locks/{name}/acquire", post(locks::acquire))
        .route("/v1/locks/{name}/extend", post(locks::extend))
        .route("/v1/locks/{name}/release", post(locks::release))
        .route("/v1/alerts", get(alerts::list))
        .route("/v1/policies", get(alerts::policies))
        .route("/v1/redis", get(redis))
        .route("/metrics", get(prometheus::page))
        .route_layer(middleware::from_fn_with_state(auth::Guard::new(token), auth::demand));
    Router::new()
        .route("/healthz", get(health))
        .route("/openapi.json", get(async || ([(CONTENT_TYPE, "application/json")], OPENAPI)))
        .merge(guarded)
        .fallback(reply::no_such_route)
        .with_state(host)
}

/// Alive, and whether all that people edited is in force; open to all, so it names no server.
async fn health(State(host): State<Host>) -> Json<Value> {
    let generation = host.policies().map(|policies| policies.generation());
    let known = generation.as_ref().map(|generation| generation.status()).unwrap_or_default();
    let stale = known.iter().filter(|one| one.stale.is_some()).count();
    let set_aside = known.iter().filter(|one| one.set_aside.is_some()).count();
    let readable = generation.as_ref().is_none_or(|generation| generation.trouble().is_none());
    let config = host.config_status();
    let redis = host.redis().map(Redis::health);
    let status = match &redis {
        Some(redis) if redis.state != ServerState::Up => "degraded",
        _ if stale + set_aside > 0 || !readable || config.stale.is_some() => "stale",
        _ => "ok",
    };
    let number = generation.as_ref().map_or(0, |generation| generation.number());
    Json(json!({
        "status": status,
        "policies": { "generation": number, "stale": stale, "set_aside": set_aside, "readable": readable },
        "config": { "reloads": config.reloads, "stale": config.stale.is_some() },
        "redis": redis.map(|redis| json!({ "state": redis.state, "since_ms": redis.since_ms })),
    }))
}

/// How the way to Redis is, with the servers' names.
async fn redis(State(host): State<Host>) -> Json<Value> {
    let Some(redis) = host.redis() else { return Json(json!({ "configured": false })) };
    let mut health = json!(redis.health());
    health["configured"] = json!(true);
    Json(health)
}
