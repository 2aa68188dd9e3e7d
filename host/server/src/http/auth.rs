//! The bearer token.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue};
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

/// Lets a request pass where it shows the token; where there is none, where no web page can have sent it.
pub async fn demand(State(guard): State<Guard>, request: Request, next: Next) -> Result<Response, Problem> {
    match &guard.0 {
        Some(expected) => show(request.headers(), expected)?,
        None => local(request.headers())?,
    }
    Ok(next.run(request).await)
}

fn show(headers: &HeaderMap, expected: &[u8; 32]) -> Result<(), Problem> {
    let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown =
        shown.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match shown {
        // Hashes are compared, so the time taken says nothing about the token.
        Some((_, shown)) if hash(shown.trim()) == *expected => Ok(()),
        Some(_) => Err(Problem::unauthorized("the bearer token is not the one of [server] token")),
        None => Err(Problem::unauthorized("expected the header \"Authorization: Bearer TOKEN\"")),
    }
}

/// Without a token the door trusts this machine, but not the pages that a browser on it has open: those come with a
/// foreign `Origin`, or (where a name was made to point here) with a foreign `Host`.
fn local(headers: &HeaderMap) -> Result<(), Problem> {
    let host = headers.get(HOST).map(HeaderValue::as_bytes);
    let own = |origin: &HeaderValue| {
        let authority = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
        authority.is_some_and(|authority| host == Some(authority.as_bytes()))
    };
    if host.is_none_or(is_loopback) && headers.get_all(ORIGIN).iter().all(own) {
        return Ok(());
    }
    Err(Problem::forbidden("without [server] token only programs on this machine are served, no web pages"))
}

/// Whether a `Host` names this machine itself, by an address or by `localhost`.
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
