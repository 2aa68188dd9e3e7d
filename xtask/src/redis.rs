//! Finding the Redis server that tests start.

use std::process::Command;

use crate::install::apt;
use crate::run::Result;

/// The oldest that the scripts run on.
const OLDEST: u32 = 7;

/// Looks for a server, and installs Debian's where there is none.
///
/// # Errors
/// What to install, with the reason why it could not be done here.
pub fn find() -> Result<()> {
    if found() {
        return Ok(());
    }
    let apt = apt(&["redis-server"]);
    if found() {
        return Ok(());
    }
    Err(format!(
        "the tests start redis-server {OLDEST} or newer, and none is here: on Debian run `apt-get install -y \
         redis-server` (here it {})",
        apt.err().unwrap_or_else(|| "brought none that is new enough".to_owned()),
    ))
}

/// Whether there is Redis, or Valkey, which began where Redis 7 was.
fn found() -> bool {
    let recent = |name| {
        let output = Command::new(name).arg("--version").output();
        output.is_ok_and(|output| major(&String::from_utf8_lossy(&output.stdout)).is_some_and(|major| major >= OLDEST))
    };
    recent("redis-server") || recent("valkey-server")
}

/// The first number of such as `Redis server v=7.0.15 sha=…`.
fn major(said: &str) -> Option<u32> {
    let version = said.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_how_old_it_is() {
        let rows = [
            ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1", Some(7)),
            ("Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1", Some(8)),
            ("Redis server v=6.2.6 sha=00000000:0", Some(6)),
            ("command not found", None),
            ("", None),
        ];
        for (said, expected) in rows {
            assert_eq!(major(said), expected, "{said}");
        }
    }
}
