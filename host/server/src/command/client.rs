//! Sends the requests of commands to a server, or runs them on a host that shares the server's Redis.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde::de::DeserializeOwned;
use tidegate::Host;
use tidegate::internals::redis;

use super::UsageError;
use crate::api::alerts::{AlertsRequest, AlertsResponse};
use crate::api::limits::{Limit, UpdateLimitRequest};
use crate::api::locks::{ForcedRelease, HeldLock};
use crate::api::metrics::{CallStats, MetricsRequest};
use crate::api::redis::RedisResponse;
use crate::api::{self, ApiError, ErrorBody};
use crate::root_cause::root_cause;

/// The minimum time that a command waits for a Redis connection or reply.
pub const REDIS_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a request failed.
pub enum CommandError {
    /// The named limit, lock or platform does not exist: exit status 1.
    NotFound(String),
    /// The request is invalid, or the server or Redis is unreachable: exit status 2.
    Failed(String),
}

impl From<UsageError> for CommandError {
    fn from(UsageError(message): UsageError) -> Self {
        Self::Failed(message)
    }
}

impl From<ApiError> for CommandError {
    fn from(error: ApiError) -> Self {
        Self::new(error.status(), error.to_string())
    }
}

impl CommandError {
    fn new(status: StatusCode, message: String) -> Self {
        if status == StatusCode::NOT_FOUND { Self::NotFound(message) } else { Self::Failed(message) }
    }
}

/// A connection to a server, or a read-only host on the server's Redis. Each method is one request.
pub enum Client {
    /// Sends requests to a server.
    Server(ServerClient),
    /// Runs requests on this host.
    Redis(Host),
}

impl Client {
    /// Returns the state of every limit, by name.
    pub async fn limits(&self) -> Result<BTreeMap<String, Limit>, CommandError> {
        match self {
            Self::Server(server) => server.send(server.request(Method::GET, &["limits"])?).await,
            Self::Redis(host) => Ok(api::limits::list(host).await?),
        }
    }

    /// Returns the state of one limit.
    pub async fn limit(&self, name: &str) -> Result<Limit, CommandError> {
        match self {
            Self::Server(server) => server.send(server.request(Method::GET, &["limits", name])?).await,
            Self::Redis(host) => Ok(api::limits::get(host, name).await?),
        }
    }

    /// Changes a limit, and returns its state.
    pub async fn update_limit(&self, name: &str, request: UpdateLimitRequest) -> Result<Limit, CommandError> {
        match self {
            Self::Server(server) => server.send(server.request(Method::PUT, &["limits", name])?.json(&request)).await,
            Self::Redis(host) => Ok(api::limits::update(host, name, request).await?),
        }
    }

    /// Fills a limit up to its burst, and returns its state.
    pub async fn reset_limit(&self, name: &str) -> Result<Limit, CommandError> {
        match self {
            Self::Server(server) => server.send(server.request(Method::POST, &["limits", name, "reset"])?).await,
            Self::Redis(host) => Ok(api::limits::reset(host, name).await?),
        }
    }

    /// Returns the statistics of calls.
    pub async fn stats(&self, request: MetricsRequest) -> Result<CallStats, CommandError> {
        match self {
            Self::Server(server) => server.send(server.request(Method::GET, &["metrics"])?.query(&request)).await,
            Self::Redis(host) => Ok(api::metrics::stats(host, request).await?),
        }
    }

    /// Returns the active alerts, and past notifications.
    pub async fn alerts(&self, request: AlertsRequest) -> Result<AlertsResponse, CommandError> {
        match self {
            Self::Server(server) => server.send(server.request(Method::GET, &["alerts"])?.query(&request)).await,
            Self::Redis(host) => Ok(api::alerts::list(host, request).await?),
        }
    }

    /// Returns the locks that are held.
    pub async fn locks(&self) -> Result<Vec<HeldLock>, CommandError> {
        match self {
            Self::Server(server) => server.send(server.request(Method::GET, &["locks"])?).await,
            Self::Redis(host) => Ok(api::locks::list(host).await?),
        }
    }

    /// Releases a lock, regardless of its owner.
    pub async fn force_release(&self, name: &str) -> Result<ForcedRelease, CommandError> {
        match self {
            Self::Server(server) => server.send(server.request(Method::DELETE, &["locks", name])?).await,
            Self::Redis(host) => Ok(api::locks::force_release(host, name).await?),
        }
    }

    /// Returns the health of the Redis connection.
    pub async fn redis(&self) -> Result<RedisResponse, CommandError> {
        match self {
            Self::Server(server) => server.send(server.request(Method::GET, &["redis"])?).await,
            Self::Redis(host) => {
                if let Some(redis) = redis(host) {
                    // Wait for the first connection: before it, the health is only "connecting".
                    let _ = tokio::time::timeout(REDIS_TIMEOUT, redis.wait_until_ready()).await;
                }
                Ok(api::redis::status(host).await)
            }
        }
    }
}

/// Sends requests to a server.
pub struct ServerClient {
    url: Url,
    token: Option<String>,
    http: reqwest::Client,
}

impl ServerClient {
    /// Creates a client of the server at this URL.
    pub fn new(url: Url, token: Option<String>) -> Self {
        Self { url, token, http: reqwest::Client::new() }
    }

    /// Starts a request to `/v1/` and these path segments.
    ///
    /// # Errors
    /// Returns an error for a name that a URL cannot contain: it would be changed and name something else.
    fn request(&self, method: Method, path: &[&str]) -> Result<RequestBuilder, CommandError> {
        let is_changed = |name: &&&str| name.contains(['\t', '\n', '\r']) || ["", ".", ".."].contains(*name);
        if let Some(name) = path.iter().find(is_changed) {
            let message = format!("a URL cannot contain the name {name:?}; to use it, run the command with --redis");
            return Err(CommandError::Failed(message));
        }
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        let request = self.http.request(method, url);
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }

    /// Sends a request and returns the response.
    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, CommandError> {
        let server = self.url.origin().ascii_serialization();
        let response = request.send().await.map_err(|error| {
            let cause = root_cause(&error.without_url());
            CommandError::Failed(format!(
                "cannot reach the server at {server}: {cause}; start it with `tidegate serve` or set --server"
            ))
        })?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| {
            let cause = root_cause(&error.without_url());
            CommandError::Failed(format!("the server at {server} closed the connection: {cause}"))
        })?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| {
                CommandError::Failed(format!(
                    "the server at {server} returned {status} with an unexpected body: {error}"
                ))
            });
        }
        let message = serde_json::from_slice(&body).map(|ErrorBody { error }| error);
        let message = message.unwrap_or_else(|_| format!("the server at {server} returned {status}"));
        Err(CommandError::new(status, message))
    }
}
