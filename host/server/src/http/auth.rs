//! Authentication by a bearer token.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};
use tidegate_core::Secret;

use crate::api::ApiError;

/// The configured token as a SHA-256 hash, or `None` if no token is configured.
#[derive(Clone)]
pub struct TokenHash(Option<Arc<[u8; 32]>>);

impl TokenHash {
    /// Hashes the configured token, if there is one.
    pub fn new(token: Option<Secret>) -> Self {
        Self(token.map(|token| Arc::new(hash(token.expose()))))
    }
}

/// Rejects a request without the right bearer token. If no token is configured, rejects a request that a web page may
/// have sent.
pub async fn authorize(State(token): State<TokenHash>, request: Request, next: Next) -> Result<Response, ApiError> {
    match &token.0 {
        Some(expected) => check_token(request.headers(), expected)?,
        None => check_local(request.headers())?,
    }
    Ok(next.run(request).await)
}

fn check_token(headers: &HeaderMap, expected: &[u8; 32]) -> Result<(), ApiError> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let credentials =
        header.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match credentials {
        // Comparing hashes reveals nothing about the token through timing.
        Some((_, token)) if hash(token.trim()) == *expected => Ok(()),
        Some(_) => Err(ApiError::unauthorized("wrong bearer token: expected the value of `[server] token`")),
        None => Err(ApiError::unauthorized("missing bearer token: expected the header `Authorization: Bearer TOKEN`")),
    }
}

/// Rejects requests from web pages. Without a token the API trusts local programs, but not the pages in a local
/// browser. Such a page sends a foreign `Origin`, or a foreign `Host` if a DNS name was made to point to this machine.
fn check_local(headers: &HeaderMap) -> Result<(), ApiError> {
    let host = headers.get(HOST).map(HeaderValue::as_bytes);
    let same_origin = |origin: &HeaderValue| {
        let authority = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
        authority.is_some_and(|authority| host == Some(authority.as_bytes()))
    };
    if host.is_none_or(is_loopback) && headers.get_all(ORIGIN).iter().all(same_origin) {
        return Ok(());
    }
    Err(ApiError::forbidden(
        "`Host` or `Origin` is not local: without `[server] token`, the server rejects requests from web pages",
    ))
}

/// Whether a `Host` header names this machine, by a loopback address or as `localhost`.
fn is_loopback(host: &[u8]) -> bool {
    Authority::try_from(host).is_ok_and(|authority| {
        let name = authority.host();
        let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
        name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
    })
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}
