//! A Redis of the benchmark's own, and what `redis-benchmark` says of it.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate::Config;
use tidegate::core::config::RedisConfig;
use tokio::process::{Child, Command};

use super::Usage;

/// How long a server may take to be there.
const START: Duration = Duration::from_secs(10);

/// A `redis-server` that ends with this value.
pub struct Server {
    port: u16,
    child: Child,
}

impl Server {
    /// Starts one on a free port, which keeps nothing on disk.
    pub async fn start() -> Result<Self, Usage> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let port = port.map_err(|error| Usage(error.to_string()))?.port();
        let start = |name: &str| {
            Command::new(name)
                .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()])
                .stdout(Stdio::null())
                .kill_on_drop(true)
                .spawn()
        };
        let child = start("redis-server").or_else(|_| start("valkey-server"));
        let mend = "install redis-server 7 or newer, or valkey-server";
        let child = child.map_err(|error| Usage(format!("no Redis can be started ({error}); {mend}")))?;
        Ok(Self { port, child })
    }

    /// The shipped configuration with its state in this server.
    pub fn config(&self) -> Config {
        let mut redis = RedisConfig::single(&format!("redis://127.0.0.1:{}", self.port));
        // A figure of a slow answer is a figure; a decision made without Redis would be none.
        redis.decide_within = START;
        Config { redis: Some(redis), ..Config::default() }
    }

    /// Lets the server stand still or go on: `-STOP`, `-CONT`.
    pub async fn signal(&self, name: &str) -> Result<(), Usage> {
        let id = self.child.id().map(|id| id.to_string()).unwrap_or_default();
        let sent = Command::new("kill").args([name, &id]).status().await;
        match sent {
            Ok(status) if status.success() => Ok(()),
            _ => Err(Usage("the benchmark's own redis-server cannot be signalled".to_owned())),
        }
    }

    /// What plain commands cost on the same server: as many connections as callers, one command in the air on each.
    pub async fn benchmark(&self, callers: usize) -> Result<Value, Usage> {
        let mut figures = json!({ "connections": callers });
        for (name, command) in [("set", &["set", "key", "value"][..]), ("eval", &["eval", "return 1", "0"][..])] {
            let run = |program: &str| {
                Command::new(program)
                    .args(["--csv", "-n", "100000", "-p", &self.port.to_string(), "-c", &callers.to_string()])
                    .args(command)
                    .output()
            };
            let said = match run("redis-benchmark").await {
                Err(_) => run("valkey-benchmark").await,
                said => said,
            };
            let mend = "install redis-tools or valkey-tools";
            let said = said.map_err(|error| Usage(format!("redis-benchmark cannot be run ({error}); {mend}")))?;
            let text = String::from_utf8_lossy(&said.stdout).into_owned();
            let strange = || Usage(format!("redis-benchmark said what this version does not read: {text}"));
            // "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms",…
            let row = text.lines().last().ok_or_else(strange)?;
            let row: Vec<&str> = row.split("\",\"").map(|cell| cell.trim_matches('"')).collect();
            let number = |at: usize| row.get(at).and_then(|cell| cell.parse::<f64>().ok()).ok_or_else(strange);
            figures[format!("{name}_per_s")] = json!(number(1)?.round());
            figures[format!("{name}_p50_us")] = json!((number(4)? * 1e3).round());
            figures[format!("{name}_p99_us")] = json!((number(6)? * 1e3).round());
        }
        Ok(figures)
    }
}
