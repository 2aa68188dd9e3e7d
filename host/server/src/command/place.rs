//! Where a command looks: at a running server, or straight into Redis.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::{Client, Method, StatusCode, Url};
use serde_json::{Value, json};
use tidegate::core::units::parse_duration;
use tidegate::{Host, LockError, Quota, Rate, StoreError};

use super::{Usage, config_file};

/// How long a connection or an answer may take before Redis counts as away.
const CONNECT: Duration = Duration::from_secs(2);

/// Where to look.
#[derive(Args)]
pub struct Where {
    /// The server to ask.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8700")]
    server: String,
    /// The environment variable that holds the server's token; a token never stands on the command line.
    #[arg(long, value_name = "NAME", default_value = "TIDEGATE_TOKEN")]
    token_env: String,
    /// A file that holds the server's token.
    #[arg(long, value_name = "FILE", conflicts_with = "token_env")]
    token_file: Option<PathBuf>,
    /// Look straight into the Redis of [redis] in the configuration instead of asking a server.
    #[arg(long, conflicts_with_all = ["server", "token_env", "token_file"])]
    redis: bool,
    /// The configuration; ./tidegate.toml where there is one.
    #[arg(long, value_name = "FILE", requires = "redis")]
    config: Option<PathBuf>,
    /// Answer as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What is asked, wherever it is.
pub enum Ask {
    Limits,
    Limit(String),
    SetLimit { platform: String, rate: String, burst: u64 },
    ResetLimit(String),
    Figures { platform: String, endpoint: Option<String>, range: String },
    Alerts { platform: Option<String>, limit: usize },
    Locks,
    EvictLock(String),
    Redis,
}

/// Why there is no answer.
pub enum Refusal {
    /// The answer is no.
    No(String),
    /// It was asked wrongly, or nobody is there to answer.
    Usage(String),
}

impl From<Usage> for Refusal {
    fn from(Usage(message): Usage) -> Self {
        Self::Usage(message)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl Where {
    /// Asks, and gives the answer as the HTTP API gives it.
    pub async fn ask(&self, ask: Ask) -> Result<Value, Refusal> {
        if self.redis { self.look(ask).await } else { self.request(ask).await }
    }

    async fn request(&self, ask: Ask) -> Result<Value, Refusal> {
        let mut url = Url::parse(&self.server)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.username().is_empty())
            .ok_or_else(|| Usage("--server: expected an address such as http://127.0.0.1:8700".to_owned()))?;
        let (method, path, query, body) = on_the_wire(ask);
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(&path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(&query);
        }
        let place = url.origin().ascii_serialization();
        let mut request = Client::new().request(method, url);
        if let Some(token) = self.token()? {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        // The library's own words repeat the whole address.
        let gone = |error: reqwest::Error| Refusal::Usage(format!("{place} gives no answer: {}", error.without_url()));
        let response = request.send().await.map_err(gone)?;
        let status = response.status();
        let value: Value = response.json().await.map_err(gone)?;
        if status.is_success() {
            return Ok(value);
        }
        let message = value["error"].as_str().map_or_else(|| format!("{place} answers {status}"), str::to_owned);
        Err(if status == StatusCode::NOT_FOUND { Refusal::No(message) } else { Refusal::Usage(message) })
    }

    fn token(&self) -> Result<Option<String>, Usage> {
        let (origin, token) = match &self.token_file {
            None => (format!("the environment variable {}", self.token_env), std::env::var(&self.token_env).ok()),
            Some(file) => {
                let text = std::fs::read_to_string(file);
                let text = text.map_err(|error| Usage(format!("{}: {error}", file.display())))?;
                (file.display().to_string(), Some(text.trim().to_owned()))
            }
        };
        match token {
            Some(token) if !token.chars().all(|c| c.is_ascii_graphic()) || token.is_empty() => {
                Err(Usage(format!("{origin}: expected a token: one word of visible ASCII characters")))
            }
            token => Ok(token),
        }
    }

    /// The same services as in a server, on the same Redis; the configured limits stay at home.
    async fn look(&self, ask: Ask) -> Result<Value, Refusal> {
        let file = config_file(self.config.clone());
        let mut config = file.as_deref().map(tidegate::read_config).transpose().map_err(Usage)?.unwrap_or_default();
        // Whoever looks has more time than a call that is to be made.
        config.redis.iter_mut().for_each(|redis| redis.decide_within = redis.decide_within.max(CONNECT));
        if config.redis.is_none() {
            let file = file.map_or_else(|| "the configuration".to_owned(), |file| file.display().to_string());
            return Err(Refusal::Usage(format!("{file} has no [redis]; name one that has with --config")));
        }
        let host = Host::builder().config(config).observer().build().map_err(|error| Usage(error.to_string()))?;
        answer(&host, ask).await
    }
}

type Wire = (Method, Vec<String>, Vec<(&'static str, String)>, Option<Value>);

fn on_the_wire(ask: Ask) -> Wire {
    let path = |parts: &[&str]| std::iter::once("v1").chain(parts.iter().copied()).map(str::to_owned).collect();
    match ask {
        Ask::Limits => (Method::GET, path(&["limits"]), vec![], None),
        Ask::Limit(platform) => (Method::GET, path(&["limits", &platform]), vec![], None),
        Ask::SetLimit { platform, rate, burst } => {
            (Method::PUT, path(&["limits", &platform]), vec![], Some(json!({ "rate": rate, "burst": burst })))
        }
        Ask::ResetLimit(platform) => (Method::POST, path(&["limits", &platform, "reset"]), vec![], None),
        Ask::Figures { platform, endpoint, range } => {
            let query = [("platform", platform), ("range", range)].into_iter();
            (Method::GET, path(&["metrics"]), query.chain(endpoint.map(|one| ("endpoint", one))).collect(), None)
        }
        Ask::Alerts { platform, limit } => {
            let query = [("limit", limit.to_string())].into_iter();
            (Method::GET, path(&["alerts"]), query.chain(platform.map(|one| ("platform", one))).collect(), None)
        }
        Ask::Locks => (Method::GET, path(&["locks"]), vec![], None),
        Ask::EvictLock(name) => (Method::DELETE, path(&["locks", &name]), vec![], None),
        Ask::Redis => (Method::GET, path(&["redis"]), vec![], None),
    }
}

/// Answers as a server would.
async fn answer(host: &Host, ask: Ask) -> Result<Value, Refusal> {
    let limiter = |platform: &str| host.limiter(platform).map_err(|error| Refusal::No(error.to_string()));
    Ok(match ask {
        Ask::Limits => {
            let mut all = serde_json::Map::new();
            for (platform, limiter) in host.limiters() {
                all.insert(platform, json!(limiter.status().await?));
            }
            Value::Object(all)
        }
        Ask::Limit(platform) => json!(limiter(&platform)?.status().await?),
        Ask::SetLimit { platform, rate, burst } => {
            let limiter = limiter(&platform)?;
            let quota = Rate::parse(&rate).and_then(|rate| Quota::new(rate, burst));
            limiter.update(quota.map_err(|error| Usage(error.to_string()))?).await?;
            json!(limiter.status().await?)
        }
        Ask::ResetLimit(platform) => {
            let limiter = limiter(&platform)?;
            limiter.reset().await?;
            json!(limiter.status().await?)
        }
        Ask::Figures { platform, endpoint, range } => {
            limiter(&platform)?;
            let range = parse_duration(&range).map_err(|error| Usage(format!("range: {error}")))?;
            json!(host.figures(&platform, endpoint.as_deref(), range).await?)
        }
        Ask::Alerts { platform, limit } => {
            platform.as_deref().map(limiter).transpose()?;
            let (active, history) =
                (host.alerts().active().await?, host.alerts().history(platform.as_deref(), limit).await?);
            json!({ "active": active, "history": history })
        }
        Ask::Locks => json!(host.locks().list().await?),
        Ask::EvictLock(name) => match host.locks().evict(&name).await {
            Ok(true) => json!({ "held": true }),
            Ok(false) => return Err(Refusal::No(format!("nobody holds a lock named {name:?}"))),
            Err(error) => return Err(LockError::from(error).to_string().into()),
        },
        Ask::Redis => {
            let Some(redis) = host.redis() else { return Ok(json!({ "configured": false })) };
            // A connection that is being made says nothing yet.
            let _ = tokio::time::timeout(CONNECT, redis.back("")).await;
            json!(redis.health())
        }
    })
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self::Usage(message)
    }
}
