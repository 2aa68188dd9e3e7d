//! Starts real Redis servers for tests and kills them when the test ends.

mod cluster;
mod proxy;
mod sentinels;
mod tls;

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tempfile::TempDir;
use tidegate::SystemClock;
use tidegate_core::config::RedisConfig;
use tidegate_redis::Redis;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub use cluster::Cluster;
pub use proxy::Proxy;
pub use sentinels::Sentinels;
pub use tls::TlsServer;

/// A Redis server on a free port. It persists nothing unless the test enables persistence.
pub struct RedisServer {
    child: Child,
    binary: &'static str,
    args: Vec<String>,
    pub port: u16,
    /// The prefix of all keys of the test.
    prefix: String,
    dir: TempDir,
}

/// Returns a free port that is outside the range for outgoing connections. The port 10,000 above it, which a cluster
/// uses for its bus, is free too.
pub fn free_port() -> u16 {
    let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    loop {
        let port = rand::random_range(10_000..20_000);
        if is_free(port) && is_free(port + 10_000) {
            return port;
        }
    }
}

/// Returns the servers that are installed on this machine: Redis, Valkey or both.
pub fn binaries() -> &'static [&'static str] {
    static INSTALLED: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        let is_installed = |name: &&str| {
            Command::new(name).arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        ["redis-server", "valkey-server"].into_iter().filter(is_installed).collect()
    });
    assert!(!INSTALLED.is_empty(), "these tests need redis-server 7 or newer: apt-get install redis-server");
    &INSTALLED
}

/// Opens a client with the system's clock.
pub fn open_redis(config: &RedisConfig) -> Redis {
    Redis::open(config, Arc::new(SystemClock::new())).unwrap()
}

impl RedisServer {
    pub fn start() -> Self {
        Self::with_args(&[])
    }

    /// Starts a server with additional arguments.
    pub fn with_args(args: &[&str]) -> Self {
        Self::with_binary(binaries()[0], args)
    }

    /// Starts a given server binary with additional arguments.
    pub fn with_binary(binary: &'static str, args: &[&str]) -> Self {
        Self::spawn(binary, tempfile::tempdir().unwrap(), args)
    }

    /// Starts a server in an existing directory.
    fn in_dir(dir: TempDir, args: &[&str]) -> Self {
        Self::spawn(binaries()[0], dir, args)
    }

    fn spawn(binary: &'static str, dir: TempDir, args: &[&str]) -> Self {
        let (port, args) = (free_port(), args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>());
        let child = spawn_process(binary, &args, port, &dir);
        Self { child, binary, args, port, prefix: format!("t{:08x}:", rand::random::<u32>()), dir }
    }

    pub fn config(&self) -> RedisConfig {
        let prefix = self.prefix.clone();
        RedisConfig::single(format!("redis://127.0.0.1:{}", self.port)).with_prefix(prefix)
    }

    /// Returns a client with a timeout that is long enough for a slow machine.
    pub async fn redis(&self) -> Redis {
        let config = self.config().with_decide_within(Duration::from_secs(10));
        open_redis(&config)
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Suspends the process: the kernel accepts connections, but no request gets a reply.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Resumes a suspended process.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// Kills the process, like a crash.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Kills the process and starts it again on the same port.
    pub fn restart(&mut self) {
        self.kill();
        self.child = spawn_process(self.binary, &self.args, self.port, &self.dir);
    }

    /// Sends one command and returns the raw reply.
    pub async fn command(&self, words: &[&str]) -> String {
        let mut stream = loop {
            match TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await {
                Ok(stream) => break stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        stream.write_all(format!("{}\r\n", words.join(" ")).as_bytes()).await.unwrap();
        let mut reply = [0; 4096];
        let read = stream.read(&mut reply).await.unwrap();
        String::from_utf8_lossy(&reply[..read]).into_owned()
    }

    /// Sends a command and asserts that the reply is `OK`.
    pub async fn command_ok(&self, words: &[&str]) {
        assert_eq!(self.command(words).await, "+OK\r\n", "{words:?}");
    }

    /// Repeats a command until its reply contains a text. Use it only to wait for other processes.
    pub async fn wait_for_reply(&self, words: &[&str], expected: &str) {
        let poll = async {
            while !self.command(words).await.contains(expected) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let result = tokio::time::timeout(Duration::from_secs(60), poll).await;
        assert!(result.is_ok(), "no reply to {words:?} contained {expected}");
    }

    /// Deletes all data.
    pub async fn flush(&self) {
        self.command_ok(&["FLUSHALL"]).await;
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts the process and waits until it accepts connections.
fn spawn_process(binary: &str, args: &[String], port: u16, dir: &TempDir) -> Child {
    // The test's arguments come last, so that they override the defaults. A Sentinel's file must come first.
    let (file, args) = args.split_at(usize::from(args.first().is_some_and(|arg| !arg.starts_with("--"))));
    let mut child = Command::new(binary)
        .args(file)
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()])
        .args(["--dir".as_ref(), dir.path().as_os_str()])
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let ready =
        |line: String| ["Ready to accept connections", "Sentinel ID is"].iter().any(|message| line.contains(message));
    assert!(lines.any(ready), "{binary} did not start");
    // The rest of the output is read and dropped, so that the server never blocks on a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    child
}
