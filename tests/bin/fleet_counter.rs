//! A process that counts calls, for tests that kill it: `fleet-counter URL PREFIX` records a call and prints
//! `recorded N`, waits until the call is in the shared statistics and prints `flushed N`, and repeats.

use std::time::Duration;

use tidegate::{Config, Host, Outcome};
use tidegate_core::config::RedisConfig;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, prefix] = &arguments[..] else { panic!("expected URL PREFIX") };
    let redis = RedisConfig::single(url.as_str()).with_prefix(prefix);
    let mut config = Config::default().with_redis(redis);
    config.metrics.flush_interval = Duration::from_millis(100);
    let host = Host::builder().config(config).build().unwrap_or_else(|error| panic!("{error}"));
    tokio::spawn(host.clone().run(std::future::pending()));
    for number in 1.. {
        print("recorded", number);
        host.metrics().record("jd", "e", Outcome::Success, Duration::from_millis(5));
        while host.stats("jd", None, Duration::from_secs(60)).await.is_ok_and(|stats| stats.count < number) {}
        print("flushed", number);
    }
}

fn print(event: &str, number: u64) {
    use std::io::Write;
    // The write fails if the test has ended and no longer reads the output.
    if writeln!(std::io::stdout(), "{event} {number}").is_err() {
        std::process::exit(0);
    }
}
