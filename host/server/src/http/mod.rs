//! The HTTP API: JSON over HTTP for workers in any language.
//!
//! A handler extracts the request, calls its function in [`crate::api`] and responds. Its attribute `utoipa::path` has
//! the path and the method of the route, and describes it in the OpenAPI document.

mod admit;
mod auth;
mod calls;
mod describe;
mod extract;
mod limits;
mod locks;
mod openapi;
mod prometheus;
mod respond;
mod status;
mod trace;

use axum::{Router, middleware};
use tidegate::Host;
use tidegate_core::Secret;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Returns the routes that require the token.
fn guarded_routes() -> OpenApiRouter<Host> {
    OpenApiRouter::new()
        .routes(routes!(limits::list))
        .routes(routes!(limits::get, limits::update))
        .routes(routes!(limits::acquire))
        .routes(routes!(limits::cancel))
        .routes(routes!(limits::reset))
        .routes(routes!(admit::admit))
        .routes(routes!(calls::report))
        .routes(routes!(calls::stats))
        .routes(routes!(locks::list))
        .routes(routes!(locks::force_release))
        .routes(routes!(locks::acquire))
        .routes(routes!(locks::extend))
        .routes(routes!(locks::release))
        .routes(routes!(status::alerts))
        .routes(routes!(status::policies))
        .routes(routes!(status::redis))
        .routes(routes!(prometheus::page))
}

/// Returns the routes that require no token.
fn open_routes() -> OpenApiRouter<Host> {
    OpenApiRouter::with_openapi(openapi::Document::openapi())
        .routes(routes!(status::health))
        .routes(routes!(openapi::document))
}

/// Returns the router of the whole API. If a token is given, every route except `/healthz` and `/openapi.json`
/// requires it.
pub fn router(host: Host, token: Option<Secret>) -> Router {
    let authorize = middleware::from_fn_with_state(auth::TokenHash::new(token), auth::authorize);
    let (guarded, _) = guarded_routes().split_for_parts();
    // A request with a wrong method needs the token too.
    let guarded = guarded.method_not_allowed_fallback(extract::no_such_method).route_layer(authorize);
    let (open, _) = open_routes().split_for_parts();
    open.method_not_allowed_fallback(extract::no_such_method)
        .merge(guarded)
        .fallback(extract::no_such_route)
        .layer(middleware::from_fn(trace::trace))
        .with_state(host)
}
