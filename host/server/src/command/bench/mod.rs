//! `tidegate bench`: what the services cost on this machine, beside `redis-benchmark` in the same run.

mod limiter;
mod lock;
mod measure;
mod metrics;
mod policy;
mod reload;
mod server;
mod start;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Usage, answer};
use server::Server;

/// Measure what the services cost on this machine.
#[derive(Args)]
pub struct Bench {
    /// What to measure.
    #[command(subcommand)]
    what: What,
    /// How long each figure is measured, in seconds.
    #[arg(long, global = true, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Answer as JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum What {
    /// Checks of a limit, in memory and in Redis.
    Limiter,
    /// A lock taken and given back, in memory and in Redis.
    Lock,
    /// A call recorded, and figures flushed to and read from Redis.
    Metrics,
    /// One verdict of one policy.
    Policy(policy::Policy),
    /// Edits of policies under full load: from saving to being in force.
    Reload(reload::Reload),
    /// A start with many components: compiled anew, and from the cache.
    Start(start::Start),
}

impl Bench {
    /// Measures and prints; a `redis-server` of its own is started for it, so nothing else is disturbed.
    ///
    /// # Errors
    /// Where no runtime or no Redis can be had.
    pub fn run(self) -> Result<ExitCode, Usage> {
        let lasting = Duration::from_secs(self.seconds);
        match &self.what {
            What::Policy(policy) => return Ok(self.tell(&policy.measure(lasting)?)),
            What::Reload(reload) => return Ok(self.tell(&reload.measure()?)),
            What::Start(start) => return Ok(self.tell(&start.measure()?)),
            _ => {}
        }
        let runtime = tokio::runtime::Runtime::new().map_err(|error| Usage(error.to_string()))?;
        let value = runtime.block_on(self.measure())?;
        Ok(self.tell(&value))
    }

    fn tell(&self, value: &Value) -> ExitCode {
        answer(self.json, value, &text(value));
        ExitCode::SUCCESS
    }

    async fn measure(&self) -> Result<Value, Usage> {
        let lasting = Duration::from_secs(self.seconds);
        let server = Server::start().await?;
        let (name, memory, redis) = match self.what {
            What::Limiter => ("limiter", limiter::memory(lasting).await?, limiter::redis(&server, lasting).await?),
            What::Lock => ("lock", lock::memory(lasting).await?, lock::redis(&server, lasting).await?),
            What::Metrics => ("metrics", metrics::memory(lasting).await?, metrics::redis(&server, lasting).await?),
            What::Policy(_) | What::Reload(_) | What::Start(_) => return Err(Usage("it needs no server".to_owned())),
        };
        // The same server at the same load, so that the figures can be told apart from the machine's.
        let beside = server.benchmark(measure::CALLERS).await?;
        Ok(json!({ "bench": name, "memory": memory, "redis": redis, "redis_benchmark": beside }))
    }
}

/// The figures as lines for people.
fn text(value: &Value) -> String {
    let groups = value.as_object().into_iter().flatten();
    groups.map(|(group, figures)| format!("{group:<16} {}", figure(figures))).collect::<Vec<_>>().join("\n")
}

/// A figure, or several with their names.
fn figure(value: &Value) -> String {
    match value {
        Value::Object(named) if named.is_empty() => "none".to_owned(),
        Value::Object(named) => {
            named.iter().map(|(name, value)| format!("{name} {}", figure(value))).collect::<Vec<_>>().join("  ")
        }
        Value::Array(list) => list.iter().map(figure).collect::<Vec<_>>().join("; "),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
