//! The target of the commands that read or change state: a running server, or Redis directly.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::{Client, Method, StatusCode, Url};
use serde_json::{Value, json};
use tidegate::core::units::parse_duration;
use tidegate::{Host, LockError, Quota, StoreError};

use super::{UsageError, config_file};

/// The minimum time a command waits for a Redis connection or reply.
const REDIS_TIMEOUT: Duration = Duration::from_secs(2);

/// The options that select a server or Redis.
#[derive(Args)]
pub struct Target {
    /// Send the request to the server at this URL.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8700")]
    server: String,
    /// Read the server's token from this environment variable.
    #[arg(long, value_name = "NAME", default_value = "TIDEGATE_TOKEN")]
    token_env: String,
    /// Read the server's token from this file.
    #[arg(long, value_name = "FILE", conflicts_with = "token_env")]
    token_file: Option<PathBuf>,
    /// Connect directly to the Redis that `[redis]` in the configuration names, instead of a server.
    #[arg(long, conflicts_with_all = ["server", "token_env", "token_file"])]
    redis: bool,
    /// Read the configuration from this file (requires --redis) [default: ./tidegate.toml].
    #[arg(long, value_name = "FILE", requires = "redis")]
    config: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// A request to the HTTP API, or the same operation directly on Redis.
pub enum ApiRequest {
    Limits,
    Limit(String),
    SetLimit { limit: String, rate: String, burst: u64 },
    ResetLimit(String),
    Metrics { platform: String, endpoint: Option<String>, range: String },
    Alerts { platform: Option<String>, limit: usize },
    Locks,
    ForceReleaseLock(String),
    Redis,
}

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

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<String> for CommandError {
    fn from(message: String) -> Self {
        Self::Failed(message)
    }
}

impl Target {
    /// Sends a request and returns the response, in the format of the HTTP API.
    pub async fn send(&self, request: ApiRequest) -> Result<Value, CommandError> {
        if self.redis { self.send_to_redis(request).await } else { self.send_to_server(request).await }
    }

    async fn send_to_server(&self, request: ApiRequest) -> Result<Value, CommandError> {
        let mut url = Url::parse(&self.server)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.username().is_empty())
            .ok_or_else(|| UsageError("--server: expected a URL such as http://127.0.0.1:8700".to_owned()))?;
        let (method, path, query, body) = http_parts(request);
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(&path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(&query);
        }
        let server = url.origin().ascii_serialization();
        let mut request = Client::new().request(method, url);
        if let Some(token) = self.token()? {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let unreachable = |error: reqwest::Error| {
            let cause = root_cause(&error.without_url());
            CommandError::Failed(format!(
                "cannot reach the server at {server}: {cause}; start it with `tidegate serve` or set --server"
            ))
        };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let value: Value = response.json().await.map_err(|error| {
            let cause = root_cause(&error.without_url());
            CommandError::Failed(format!("the server at {server} returned {status} without a JSON body: {cause}"))
        })?;
        if status.is_success() {
            return Ok(value);
        }
        let message = value["error"].as_str().map(str::to_owned);
        let message = message.unwrap_or_else(|| format!("the server at {server} returned {status}"));
        Err(if status == StatusCode::NOT_FOUND {
            CommandError::NotFound(message)
        } else {
            CommandError::Failed(message)
        })
    }

    fn token(&self) -> Result<Option<String>, UsageError> {
        let (source, token) = match &self.token_file {
            None => (format!("environment variable {}", self.token_env), std::env::var(&self.token_env).ok()),
            Some(file) => {
                let text = std::fs::read_to_string(file);
                let text = text.map_err(|error| UsageError(format!("{}: {error}", file.display())))?;
                (file.display().to_string(), Some(text.trim().to_owned()))
            }
        };
        match token {
            Some(token) if !token.chars().all(|c| c.is_ascii_graphic()) || token.is_empty() => {
                Err(UsageError(format!("{source}: expected a token of visible ASCII characters without spaces")))
            }
            token => Ok(token),
        }
    }

    /// Runs the request on a read-only host that shares the configured Redis. It does not write the limits of the
    /// configuration to Redis.
    async fn send_to_redis(&self, request: ApiRequest) -> Result<Value, CommandError> {
        let file = config_file(self.config.clone());
        let mut config =
            file.as_deref().map(tidegate::read_config).transpose().map_err(UsageError)?.unwrap_or_default();
        // A command can wait longer than a rate-limit decision.
        config.redis.iter_mut().for_each(|redis| redis.decide_within = redis.decide_within.max(REDIS_TIMEOUT));
        if config.redis.is_none() {
            let file = file.map_or_else(|| "the configuration".to_owned(), |file| file.display().to_string());
            return Err(CommandError::Failed(format!(
                "{file} has no [redis] section; use --config to name a file that has one"
            )));
        }
        let host = Host::builder().config(config).read_only().build().map_err(|error| UsageError(error.to_string()))?;
        run_on_host(&host, request).await
    }
}

/// The innermost cause of an error, such as "connection refused".
fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Method, path segments, query and JSON body of an HTTP request.
type HttpParts = (Method, Vec<String>, Vec<(&'static str, String)>, Option<Value>);

fn http_parts(request: ApiRequest) -> HttpParts {
    let path = |parts: &[&str]| std::iter::once("v1").chain(parts.iter().copied()).map(str::to_owned).collect();
    match request {
        ApiRequest::Limits => (Method::GET, path(&["limits"]), vec![], None),
        ApiRequest::Limit(limit) => (Method::GET, path(&["limits", &limit]), vec![], None),
        ApiRequest::SetLimit { limit, rate, burst } => {
            (Method::PUT, path(&["limits", &limit]), vec![], Some(json!({ "rate": rate, "burst": burst })))
        }
        ApiRequest::ResetLimit(limit) => (Method::POST, path(&["limits", &limit, "reset"]), vec![], None),
        ApiRequest::Metrics { platform, endpoint, range } => {
            let query = [("platform", platform), ("range", range)].into_iter();
            (Method::GET, path(&["metrics"]), query.chain(endpoint.map(|name| ("endpoint", name))).collect(), None)
        }
        ApiRequest::Alerts { platform, limit } => {
            let query = [("limit", limit.to_string())].into_iter();
            (Method::GET, path(&["alerts"]), query.chain(platform.map(|name| ("platform", name))).collect(), None)
        }
        ApiRequest::Locks => (Method::GET, path(&["locks"]), vec![], None),
        ApiRequest::ForceReleaseLock(name) => (Method::DELETE, path(&["locks", &name]), vec![], None),
        ApiRequest::Redis => (Method::GET, path(&["redis"]), vec![], None),
    }
}

/// Runs a request on a host and returns what the HTTP API would return.
async fn run_on_host(host: &Host, request: ApiRequest) -> Result<Value, CommandError> {
    let limiter = |name: &str| host.limiter(name).map_err(|error| CommandError::NotFound(error.to_string()));
    Ok(match request {
        ApiRequest::Limits => {
            let mut limits = serde_json::Map::new();
            for (name, limiter) in host.limiters() {
                limits.insert(name, json!(limiter.status().await?));
            }
            Value::Object(limits)
        }
        ApiRequest::Limit(limit) => json!(limiter(&limit)?.status().await?),
        ApiRequest::SetLimit { limit, rate, burst } => {
            let limiter = limiter(&limit)?;
            let rate = rate.parse().map_err(|error| UsageError(format!("rate: {error}")))?;
            let quota = Quota::new(rate, burst).map_err(|error| UsageError(format!("burst: {error}")))?;
            limiter.update(quota).await?;
            json!(limiter.status().await?)
        }
        ApiRequest::ResetLimit(limit) => {
            let limiter = limiter(&limit)?;
            limiter.reset().await?;
            json!(limiter.status().await?)
        }
        ApiRequest::Metrics { platform, endpoint, range } => {
            limiter(&platform)?;
            let range = parse_duration(&range).map_err(|error| UsageError(format!("range: {error}")))?;
            json!(host.stats(&platform, endpoint.as_deref(), range).await?)
        }
        ApiRequest::Alerts { platform, limit } => {
            platform.as_deref().map(limiter).transpose()?;
            let (active, history) =
                (host.alerts().active().await?, host.alerts().history(platform.as_deref(), limit).await?);
            json!({ "active": active, "history": history })
        }
        ApiRequest::Locks => json!(host.locks().list().await?),
        ApiRequest::ForceReleaseLock(name) => match host.locks().force_release(&name).await {
            Ok(true) => json!({ "released": true }),
            Ok(false) => return Err(CommandError::NotFound(format!("lock {name:?} is not held"))),
            Err(error) => return Err(LockError::from(error).to_string().into()),
        },
        ApiRequest::Redis => {
            let Some(redis) = host.redis() else { return Ok(json!({ "configured": false })) };
            // Wait for the first connection: before it, the health is only "connecting".
            let _ = tokio::time::timeout(REDIS_TIMEOUT, redis.wait_until_available("")).await;
            json!(redis.health())
        }
    })
}
