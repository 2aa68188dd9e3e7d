//! The bearer token.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use tidegate::core::Secret;

use super::Problem;

/// Knows the token by its hash alone.
#[derive(Clone)]
pub struct Guard(Option<Arc<[u8; 32]>>);

impl Guard {
    /// Lets everyone in where there is no token.
    pub fn new(token: Option<Secret>) -> Self {
        Self(token.map(|token| Arc::new(hash(token.expose()))))
    }
}

/// Lets a request pass where it shows the token.
pub async fn demand(State(guard): State<Guard>, request: Request, next: Next) -> Result<Response, Problem> {
    let Some(expected) = &guard.0 else { return Ok(next.run(request).await) };
    let shown = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown =
        shown.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match shown {
        // Hashes are compared, so the time taken says nothing about the token.
        Some((_, shown)) if hash(shown.trim()) == **expected => Ok(next.run(request).await),
        Some(_) => Err(Problem::unauthorized("the bearer token is not the one of [server] token")),
        None => Err(Problem::unauthorized("expected the header \"Authorization: Bearer TOKEN\"")),
    }
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}
