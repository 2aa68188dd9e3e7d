//! A temporary Redis server, and `redis-benchmark` on it.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate::Config;
use tidegate_core::config::RedisConfig;
use tokio::process::{Child, Command};

use super::UsageError;

/// The maximum time that a decision waits for Redis during a benchmark. It includes the start of the server.
const DECIDE_WITHIN: Duration = Duration::from_secs(10);

/// A `redis-server` process that is killed when this value is dropped.
pub struct RedisServer {
    port: u16,
    child: Child,
}

impl RedisServer {
    /// Starts a server on a free port, without persistence.
    pub async fn start() -> Result<Self, UsageError> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let port = port.map_err(|error| UsageError(error.to_string()))?.port();
        let start = |name: &str| {
            Command::new(name)
                .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()])
                .stdout(Stdio::null())
                .kill_on_drop(true)
                .spawn()
        };
        let child = start("redis-server").or_else(|_| start("valkey-server"));
        let child = child.map_err(|error| {
            UsageError(format!("cannot start redis-server: {error}; install redis-server 7 or newer, or valkey-server"))
        })?;
        Ok(Self { port, child })
    }

    /// Returns the default configuration with the preset `platforms`, and this server as its Redis.
    pub fn config(&self) -> Config {
        let mut redis = RedisConfig::single(format!("redis://127.0.0.1:{}", self.port));
        // The time is so long that Redis makes every decision: a slow reply is measured and not replaced by a local
        // decision.
        redis.decide_within = DECIDE_WITHIN;
        Config::with_platforms().with_redis(redis)
    }

    /// Sends a signal to the server: `-STOP` pauses it, `-CONT` resumes it.
    pub async fn signal(&self, name: &str) -> Result<(), UsageError> {
        let id = self.child.id().map(|id| id.to_string()).unwrap_or_default();
        let status = Command::new("kill").args([name, &id]).status().await;
        match status {
            Ok(status) if status.success() => Ok(()),
            _ => Err(UsageError(format!("cannot send signal {name} to the temporary redis-server"))),
        }
    }

    /// Runs `redis-benchmark` with one connection per caller, and one command at a time on each connection.
    pub async fn benchmark(&self, callers: usize) -> Result<Value, UsageError> {
        let mut results = json!({ "connections": callers });
        for (name, command) in [("set", &["set", "key", "value"][..]), ("eval", &["eval", "return 1", "0"][..])] {
            let run = |program: &str| {
                Command::new(program)
                    .args(["--csv", "-n", "100000", "-p", &self.port.to_string(), "-c", &callers.to_string()])
                    .args(command)
                    .output()
            };
            let output = match run("redis-benchmark").await {
                Err(_) => run("valkey-benchmark").await,
                output => output,
            };
            let output = output.map_err(|error| {
                UsageError(format!("cannot run redis-benchmark: {error}; install redis-tools or valkey-tools"))
            })?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let unexpected = || UsageError(format!("unexpected output of redis-benchmark: {text}"));
            // "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms",…
            let row = text.lines().last().ok_or_else(unexpected)?;
            let row: Vec<&str> = row.split("\",\"").map(|cell| cell.trim_matches('"')).collect();
            let number =
                |column: usize| row.get(column).and_then(|cell| cell.parse::<f64>().ok()).ok_or_else(unexpected);
            results[format!("{name}_per_s")] = json!(number(1)?.round());
            results[format!("{name}_p50_us")] = json!((number(4)? * 1e3).round());
            results[format!("{name}_p99_us")] = json!((number(6)? * 1e3).round());
        }
        Ok(results)
    }
}
