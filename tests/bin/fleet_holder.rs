//! One process that holds the lock `job`, for tests that stop and kill it: `fleet-holder URL PREFIX TTL_MS` prints its
//! fencing token, and for each line that it reads whether it holds the lock still.

use std::io::{BufRead, Write};
use std::time::Duration;

use tidegate::core::config::RedisConfig;
use tidegate::{Config, Host};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, prefix, ttl_ms] = &arguments[..] else { panic!("expected URL PREFIX TTL_MS") };
    let redis = RedisConfig { prefix: prefix.clone(), ..RedisConfig::single(url) };
    let host = Host::builder().config(Config { redis: Some(redis), ..Config::default() }).build()?;
    let lock = host.locks().lock("job")?.ttl(Duration::from_millis(ttl_ms.parse()?))?;
    let lease = lock.acquire(Duration::from_secs(20)).await?.ok_or("somebody else holds it")?;
    say(&lease.fencing_token().to_string())?;
    for line in std::io::stdin().lock().lines() {
        line?;
        say(if lease.is_held() { "held" } else { "lost" })?;
    }
    Ok(())
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
