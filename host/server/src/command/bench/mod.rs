//! `tidegate bench`: measures performance on this machine, and runs `redis-benchmark` for comparison.

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

use super::{UsageError, print_result};
use measure::MeasuredTime;
use server::RedisServer;

const EXAMPLES: &str = "\
Examples:
  tidegate bench limiter --json
  tidegate bench policy policies/retry/taobao.rhai
  tidegate bench reload --edits 1000
  tidegate bench start policies/retry/shop.wasm";
const LIMITER_EXAMPLES: &str = "\
Examples:
  tidegate bench limiter
  tidegate bench limiter --seconds 10 --json";
const LOCK_EXAMPLES: &str = "\
Examples:
  tidegate bench lock --json";
const METRICS_EXAMPLES: &str = "\
Examples:
  tidegate bench metrics --json";
const POLICY_EXAMPLES: &str = "\
Examples:
  tidegate bench policy policies/retry/taobao.rhai
  tidegate bench policy policies/retry/shop.wasm --isolation fresh --json";
const RELOAD_EXAMPLES: &str = "\
Examples:
  tidegate bench reload
  tidegate bench reload --edits 1000 --component policies/retry/shop.wasm";
const START_EXAMPLES: &str = "\
Examples:
  tidegate bench start policies/retry/shop.wasm
  tidegate bench start policies/retry/shop.wasm --components 50 --json";

/// The options of `tidegate bench`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Bench {
    /// What to measure.
    #[command(subcommand)]
    benchmark: Benchmark,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Benchmark {
    /// Measure rate-limit checks in memory, in Redis, and while Redis is unavailable.
    #[command(after_help = LIMITER_EXAMPLES)]
    Limiter(MeasuredTime),
    /// Measure acquiring and releasing a lock, in memory and in Redis.
    #[command(after_help = LOCK_EXAMPLES)]
    Lock(MeasuredTime),
    /// Measure recording a call in memory, and reading statistics from Redis.
    #[command(after_help = METRICS_EXAMPLES)]
    Metrics(MeasuredTime),
    /// Measure the evaluation time of one policy.
    ///
    /// The measured time includes everything that an evaluation in the server includes. For a retry policy, also
    /// measures failures with messages of 100 bytes to 60 kB.
    #[command(after_help = POLICY_EXAMPLES)]
    Policy(policy::Policy),
    /// Measure the time from saving a policy until it is active, under full load.
    ///
    /// All callers evaluate the policy while it is edited repeatedly. Reports the reload latency, and the verdicts
    /// that were lost (dropped) or that mix two versions (mixed); both must be 0.
    #[command(after_help = RELOAD_EXAMPLES)]
    Reload(reload::Reload),
    /// Measure the start-up time with many Wasm components, without and with the compilation cache.
    #[command(after_help = START_EXAMPLES)]
    Start(start::Start),
}

impl Bench {
    /// Runs the benchmark and prints its results. Redis benchmarks use a temporary server, not the configured one.
    ///
    /// # Errors
    /// Returns an error if the runtime or the Redis server cannot be started.
    pub fn run(self) -> Result<ExitCode, UsageError> {
        let results = match &self.benchmark {
            Benchmark::Policy(policy) => policy.measure()?,
            Benchmark::Reload(reload) => reload.measure()?,
            Benchmark::Start(start) => start.measure()?,
            Benchmark::Limiter(time) | Benchmark::Lock(time) | Benchmark::Metrics(time) => {
                let runtime = tokio::runtime::Runtime::new().map_err(|error| UsageError(error.to_string()))?;
                runtime.block_on(self.measure_with_redis(time.duration()))?
            }
        };
        print_result(self.json, &results, &format_results(&results));
        Ok(ExitCode::SUCCESS)
    }

    async fn measure_with_redis(&self, duration: Duration) -> Result<Value, UsageError> {
        let server = RedisServer::start().await?;
        let (name, memory, redis) = match self.benchmark {
            Benchmark::Limiter(_) => {
                ("limiter", limiter::memory(duration).await?, limiter::redis(&server, duration).await?)
            }
            Benchmark::Lock(_) => ("lock", lock::memory(duration).await?, lock::redis(&server, duration).await?),
            Benchmark::Metrics(_) => {
                ("metrics", metrics::memory(duration).await?, metrics::redis(&server, duration).await?)
            }
            Benchmark::Policy(_) | Benchmark::Reload(_) | Benchmark::Start(_) => {
                return Err(UsageError("this benchmark does not use Redis".to_owned()));
            }
        };
        // The same server under the same load, so that the results can be compared on this machine.
        let redis_benchmark = server.benchmark(measure::CALLERS).await?;
        Ok(json!({ "bench": name, "memory": memory, "redis": redis, "redis_benchmark": redis_benchmark }))
    }
}

/// Formats the results as text, with one group per line.
fn format_results(results: &Value) -> String {
    let groups = results.as_object().into_iter().flatten();
    groups.map(|(group, value)| format!("{group:<16} {}", format_value(value))).collect::<Vec<_>>().join("\n")
}

/// Formats one value, or several values with their names.
fn format_value(value: &Value) -> String {
    match value {
        Value::Object(fields) if fields.is_empty() => "none".to_owned(),
        Value::Object(fields) => {
            let pairs = fields.iter().map(|(name, value)| format!("{name} {}", format_value(value)));
            pairs.collect::<Vec<_>>().join("  ")
        }
        Value::Array(values) => values.iter().map(format_value).collect::<Vec<_>>().join("; "),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
