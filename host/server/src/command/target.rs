//! The target of the commands that read or change state: a running server, or Redis directly.

use std::path::PathBuf;

use clap::Args;
use reqwest::Url;
use tidegate::{Host, SystemEnv};
use tidegate_core::config::Env;

use super::client::{Client, REDIS_TIMEOUT, ServerClient};
use super::{UsageError, config_file, configuration};

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

impl Target {
    /// Creates a client of the target. It must be called within a tokio runtime.
    pub fn client(&self) -> Result<Client, UsageError> {
        if self.redis { self.redis_client() } else { self.server_client() }
    }

    fn server_client(&self) -> Result<Client, UsageError> {
        let url = Url::parse(&self.server)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.username().is_empty())
            .ok_or_else(|| UsageError("--server: expected a URL such as http://127.0.0.1:8700".to_owned()))?;
        Ok(Client::Server(ServerClient::new(url, self.token()?)))
    }

    fn token(&self) -> Result<Option<String>, UsageError> {
        let (source, token) = match &self.token_file {
            None => (format!("environment variable {}", self.token_env), std::env::var(&self.token_env).ok()),
            Some(file) => {
                let text = SystemEnv::default().read_file(file);
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

    /// Creates a read-only host that shares the configured Redis. It does not write the limits of the configuration to
    /// Redis.
    fn redis_client(&self) -> Result<Client, UsageError> {
        let file = config_file(self.config.clone());
        let mut config = configuration(file.as_ref())?;
        // This host answers one request and sends no notifications.
        config.channels.clear();
        // A command can wait longer than a rate-limit decision.
        config.redis.iter_mut().for_each(|redis| redis.decide_within = redis.decide_within.max(REDIS_TIMEOUT));
        if config.redis.is_none() {
            let file = file.map_or_else(|| "the configuration".to_owned(), |file| file.path().display().to_string());
            return Err(UsageError(format!("{file} has no [redis] section; use --config to name a file that has one")));
        }
        let host = Host::builder().config(config).read_only().build().map_err(|error| UsageError(error.to_string()))?;
        Ok(Client::Redis(host))
    }
}
