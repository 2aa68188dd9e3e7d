//! Repeats an operation for a given time and computes its throughput and latency percentiles.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// The number of concurrent callers in the benchmarks of a shared limit, lock or metric.
pub const CALLERS: usize = 64;

/// The number of operations between two clock reads, because a clock read costs as much as a rate-limit check.
const BATCH: u32 = 64;

/// The option of the benchmarks that measure for a given time.
#[derive(Args, Clone, Copy)]
pub struct MeasuredTime {
    /// The duration of each measurement, in seconds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

impl MeasuredTime {
    /// Returns the duration of each measurement.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// Measures one caller, in batches: operations per second, and nanoseconds per operation.
pub fn batched(duration: Duration, name: &str, mut operation: impl FnMut()) -> Value {
    let (start, mut samples) = (Instant::now(), Vec::new());
    while start.elapsed() < duration {
        let batch_start = Instant::now();
        (0..BATCH).for_each(|_| operation());
        samples.push(batch_start.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH));
    }
    let total: f64 = samples.iter().sum();
    let count = u32::try_from(samples.len()).map_or(f64::MAX, f64::from);
    json!({
        format!("{name}_per_s"): (1e9 * count / total).round(),
        "p50_ns": percentile(&mut samples, 0.50),
        "p99_ns": percentile(&mut samples, 0.99),
    })
}

/// Measures one caller, each operation separately: nanoseconds per operation, without the cost of the clock read.
pub fn each(duration: Duration, mut operation: impl FnMut()) -> Value {
    let clock = clock_read_ns();
    let (start, mut samples) = (Instant::now(), Vec::new());
    // Warm up the caches.
    (0..BATCH).for_each(|_| operation());
    while start.elapsed() < duration {
        for _ in 0..BATCH {
            let started_at = Instant::now();
            operation();
            samples.push((started_at.elapsed().as_secs_f64() * 1e9 - clock).max(0.0));
        }
    }
    let count = u32::try_from(samples.len()).map_or(f64::MAX, f64::from);
    let mean = samples.iter().sum::<f64>() / count;
    json!({
        "mean_ns": mean.round(),
        "p50_ns": percentile(&mut samples, 0.50),
        "p99_ns": percentile(&mut samples, 0.99),
    })
}

/// Returns the cost of one clock read, in nanoseconds.
fn clock_read_ns() -> f64 {
    let reads = (0..1_000).map(|_| Instant::now().elapsed().as_secs_f64() * 1e9);
    reads.fold(f64::MAX, f64::min)
}

/// Measures [`CALLERS`] concurrent callers: operations per second, and microseconds per operation.
pub async fn concurrent<F: Future<Output = ()> + Send + 'static>(
    duration: Duration,
    name: &str,
    operation: impl Fn(usize) -> F + Clone + Send + Sync + 'static,
) -> Value {
    let (start, mut callers) = (Instant::now(), JoinSet::new());
    for caller in 0..CALLERS {
        let operation = operation.clone();
        callers.spawn(async move {
            let mut samples = Vec::new();
            while start.elapsed() < duration {
                let started_at = Instant::now();
                operation(caller).await;
                samples.push(started_at.elapsed().as_secs_f64() * 1e6);
            }
            samples
        });
    }
    let mut samples = callers.join_all().await.concat();
    let count = u32::try_from(samples.len()).map_or(f64::MAX, f64::from);
    json!({
        "callers": CALLERS,
        format!("{name}_per_s"): (count / start.elapsed().as_secs_f64()).round(),
        "p50_us": percentile(&mut samples, 0.50),
        "p99_us": percentile(&mut samples, 0.99),
    })
}

/// Sorts the samples and returns the `q` quantile, rounded to one decimal place.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
pub fn percentile(samples: &mut [f64], q: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let rank = (samples.len() as f64 * q) as usize;
    samples.get(rank.min(samples.len().saturating_sub(1))).map_or(0.0, |sample| (sample * 10.0).round() / 10.0)
}
