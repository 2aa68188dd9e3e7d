//! Measures the hop to tokio's blocking pool, on which policies are evaluated: `cargo bench --bench policy_hop`.
#![allow(clippy::unwrap_used, reason = "a benchmark may panic on an unexpected error")]
#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::time::Instant;

use tidegate::{Failure, Host};
use tidegate_policy::Policies;
use tokio::runtime::{Builder, Runtime};

/// The number of verdicts of each row.
const SAMPLES: usize = 50_000;

/// Returns the median and the 99th percentile of the samples.
fn quantiles(mut nanoseconds: Vec<u128>) -> [u128; 2] {
    nanoseconds.sort_unstable();
    [nanoseconds[SAMPLES / 2], nanoseconds[SAMPLES * 99 / 100]]
}

fn measure_each(mut verdict: impl FnMut()) -> [u128; 2] {
    let sample = |_| {
        let started_at = Instant::now();
        verdict();
        started_at.elapsed().as_nanos()
    };
    quantiles((0..SAMPLES).map(sample).collect())
}

async fn measure_host(host: &Host, failure: &Failure) -> [u128; 2] {
    let mut samples = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let started_at = Instant::now();
        drop(host.classify(failure).await);
        samples.push(started_at.elapsed().as_nanos());
    }
    quantiles(samples)
}

fn main() {
    let dir = std::env::temp_dir().join(format!("tidegate-bench-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("retry")).unwrap();
    std::fs::write(dir.join("retry/jd.rhai"), "if status >= 500 { retry(\"transient\") } else { abstain() }").unwrap();
    let mut config = tidegate_core::config::PoliciesConfig::default();
    config.dir.clone_from(&dir);
    let policies = Policies::open(&config);
    let failure = |platform: &str| Failure::response(503).with_platform(platform);
    let (with_policy, without) = (failure("jd"), failure("pdd"));

    let inline = measure_each(|| drop(policies.classify(&with_policy)));
    let multi_thread = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let current_thread = Builder::new_current_thread().enable_all().build().unwrap();
    let through_host = |runtime: &Runtime, failure: &Failure| {
        let policies = policies.clone();
        runtime.block_on(async { measure_host(&Host::builder().policies(policies).build().unwrap(), failure).await })
    };
    let rows = [
        ("a script, on this thread", inline),
        ("a script, on the blocking pool (multi-thread runtime)", through_host(&multi_thread, &with_policy)),
        ("a script, on the blocking pool (current-thread runtime)", through_host(&current_thread, &with_policy)),
        ("the fallback, on the worker", through_host(&multi_thread, &without)),
    ];
    for (name, [median, p99]) in rows {
        println!("{name:<60} median {median:>7} ns   p99 {p99:>8} ns");
    }
    std::fs::remove_dir_all(dir).unwrap();
}
