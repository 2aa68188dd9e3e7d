//! The bearer token.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
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

/// Without a token the door trusts this machine, but not the pages that a browser on it has open: those come with an
/// `Origin`, or (where a name was made to point here) with a foreign `Host`.
fn local(headers: &HeaderMap) -> Result<(), Problem> {
    let host = headers.get(HOST).and_then(|value| value.to_str().ok());
    let name =
        host.map(|host| host.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map_or(host, |(name, _)| name));
    let loopback = name.is_none_or(|name| {
        name == "localhost"
            || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    });
    if loopback && !headers.contains_key(ORIGIN) {
        return Ok(());
    }
    Err(Problem::forbidden("without [server] token only programs on this machine are served, no web pages"))
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}
