//! One process of a fleet that counts calls, for tests that kill it: `fleet-counter URL PREFIX` records a call, says so,
//! waits until the figures of all processes have it, says so, and begins again.

use std::time::Duration;

use tidegate::core::config::RedisConfig;
use tidegate::{Config, Host, Outcome};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, prefix] = &arguments[..] else { panic!("expected URL PREFIX") };
    let redis = RedisConfig { prefix: prefix.clone(), ..RedisConfig::single(url) };
    let mut config = Config { redis: Some(redis), ..Config::default() };
    config.metrics.flush = Duration::from_millis(100);
    let host = Host::builder().config(config).build().unwrap_or_else(|error| panic!("{error}"));
    tokio::spawn(host.clone().run(std::future::pending()));
    for made in 1.. {
        say("made", made);
        host.metrics().record("jd", "e", Outcome::Success, Duration::from_millis(5));
        while host.figures("jd", None, Duration::from_secs(60)).await.is_ok_and(|stats| stats.count < made) {}
        say("seen", made);
    }
}

fn say(word: &str, number: u64) {
    use std::io::Write;
    // Whoever listens may be gone, which is the end.
    if writeln!(std::io::stdout(), "{word} {number}").is_err() {
        std::process::exit(0);
    }
}
