//! A process that holds the lock `job`, for tests that pause and kill it: `fleet-lock-holder URL PREFIX TTL_MS` prints
//! its fencing token, and then for each input line whether it still holds the lock: `held` or `lost`.

use std::io::{BufRead, Write};
use std::time::Duration;

use tidegate::{Config, Host};
use tidegate_core::config::RedisConfig;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, prefix, ttl_ms] = &arguments[..] else { panic!("expected URL PREFIX TTL_MS") };
    let redis = RedisConfig::single(url.as_str()).with_prefix(prefix);
    let host = Host::builder().config(Config::default().with_redis(redis)).build()?;
    let lock = host.locks().lock("job")?.with_ttl(Duration::from_millis(ttl_ms.parse()?))?;
    let lease = lock.acquire(Duration::from_secs(20)).await?;
    print_line(&lease.fencing_token().to_string())?;
    for line in std::io::stdin().lock().lines() {
        line?;
        print_line(if lease.is_held() { "held" } else { "lost" })?;
    }
    Ok(())
}

fn print_line(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
