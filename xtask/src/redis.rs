//! Makes sure that a Redis server is installed, because the tests start one.

use std::process::Command;

use crate::install::apt_install;
use crate::run::Result;

/// The oldest major version of Redis that supports the Lua scripts.
const MIN_MAJOR_VERSION: u32 = 7;

/// Installs Debian's Redis if no suitable server is installed.
///
/// # Errors
/// Returns an error that names the package to install if the installation fails.
pub fn ensure_installed() -> Result<()> {
    if is_installed() {
        return Ok(());
    }
    let installation = apt_install(&["redis-server"]);
    if is_installed() {
        return Ok(());
    }
    Err(format!(
        "redis-server {MIN_MAJOR_VERSION} or newer is required for the tests but is not installed; on Debian run \
         `apt-get install -y redis-server` (tried: {})",
        installation.err().unwrap_or_else(|| "the installed version is too old".to_owned()),
    ))
}

/// Returns whether a suitable Redis or Valkey is installed. Valkey is a fork of Redis 7.
fn is_installed() -> bool {
    let is_recent = |name| {
        let output = Command::new(name).arg("--version").output();
        output.is_ok_and(|output| {
            major_version(&String::from_utf8_lossy(&output.stdout)).is_some_and(|major| major >= MIN_MAJOR_VERSION)
        })
    };
    is_recent("redis-server") || is_recent("valkey-server")
}

/// Returns the major version from the output of `--version`, for example 7 from `Redis server v=7.0.15 sha=…`.
fn major_version(output: &str) -> Option<u32> {
    let version = output.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_version_is_parsed() {
        let rows = [
            ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1", Some(7)),
            ("Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1", Some(8)),
            ("Redis server v=6.2.6 sha=00000000:0", Some(6)),
            ("command not found", None),
            ("", None),
        ];
        for (output, expected) in rows {
            assert_eq!(major_version(output), expected, "{output}");
        }
    }
}
