//! Real Redis servers, started by the tests that need them and killed with them.

mod cluster;
mod proxy;
mod sentinels;
mod tls;

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use tempfile::TempDir;
use tidegate::core::config::RedisConfig;
use tidegate::redis::Redis;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub use cluster::Cluster;
pub use proxy::Proxy;
pub use sentinels::Sentinels;
pub use tls::Tls;

/// One server on a free port, which keeps nothing that a test does not ask it to keep.
pub struct Server {
    child: Child,
    binary: &'static str,
    args: Vec<String>,
    pub port: u16,
    /// What all keys of a test begin with.
    prefix: String,
    dir: TempDir,
}

/// A port that nobody listens on and no outgoing connection is given, and the same 10,000 above, for a cluster's bus.
pub fn free_port() -> u16 {
    let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    loop {
        let port = rand::random_range(10_000..20_000);
        if free(port) && free(port + 10_000) {
            return port;
        }
    }
}

/// The servers that are installed here: Redis, Valkey, or both.
pub fn binaries() -> &'static [&'static str] {
    static FOUND: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        let answers = |name: &&str| {
            Command::new(name).arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        ["redis-server", "valkey-server"].into_iter().filter(answers).collect()
    });
    assert!(!FOUND.is_empty(), "these tests need redis-server 7 or newer: apt-get install redis-server");
    &FOUND
}

impl Server {
    pub fn single() -> Self {
        Self::with(&[])
    }

    /// A server with further arguments.
    pub fn with(args: &[&str]) -> Self {
        Self::of(binaries()[0], args)
    }

    /// Some other server with further arguments.
    pub fn of(binary: &'static str, args: &[&str]) -> Self {
        Self::begin(binary, tempfile::tempdir().unwrap(), args)
    }

    /// A server with a directory that is there already.
    fn keeping(dir: TempDir, args: &[&str]) -> Self {
        Self::begin(binaries()[0], dir, args)
    }

    fn begin(binary: &'static str, dir: TempDir, args: &[&str]) -> Self {
        let (port, args) = (free_port(), args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>());
        let child = start(binary, &args, port, &dir);
        Self { child, binary, args, port, prefix: format!("t{:08x}:", rand::random::<u32>()), dir }
    }

    pub fn config(&self) -> RedisConfig {
        let prefix = self.prefix.clone();
        RedisConfig { prefix, ..RedisConfig::single(&format!("redis://127.0.0.1:{}", self.port)) }
    }

    /// A way to it that waits as long as a slow machine needs.
    pub async fn redis(&self) -> Redis {
        let config = RedisConfig { decide_within: Duration::from_secs(10), ..self.config() };
        Redis::open(&config).unwrap()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Lets it accept connections and answer nothing.
    pub fn stop(&self) {
        self.signal("-STOP");
    }

    pub fn cont(&self) {
        self.signal("-CONT");
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it anew on the same port.
    pub fn start_again(&mut self) {
        self.kill();
        self.child = start(self.binary, &self.args, self.port, &self.dir);
    }

    /// Sends one command in words and gives the raw reply.
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

    /// Sends a command that must be obeyed.
    pub async fn tell(&self, words: &[&str]) {
        assert_eq!(self.command(words).await, "+OK\r\n", "{words:?}");
    }

    /// Asks until the reply has this in it; only other processes are waited for in this way.
    pub async fn says(&self, words: &[&str], expected: &str) {
        let asked = async {
            while !self.command(words).await.contains(expected) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let patience = Duration::from_secs(60);
        assert!(tokio::time::timeout(patience, asked).await.is_ok(), "{words:?} never said {expected}");
    }

    /// Loses all data.
    pub async fn flush(&self) {
        self.tell(&["FLUSHALL"]).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn start(binary: &str, args: &[String], port: u16, dir: &TempDir) -> Child {
    // The arguments of a test come last, where they win; a Sentinel's file must come first.
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
    let ready = |line: String| ["Ready to accept connections", "Sentinel ID is"].iter().any(|end| line.contains(end));
    assert!(lines.any(ready), "{binary} did not start");
    // Whatever it says further is read, so that it never waits for a reader.
    std::thread::spawn(move || lines.for_each(drop));
    child
}
