//! Real Redis servers, started by the tests that need them and killed with them.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidegate::core::config::RedisConfig;
use tidegate::redis::Redis;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One server on a free port, which keeps nothing on disk.
pub struct Server {
    child: Child,
    pub port: u16,
    /// What all keys of a test begin with.
    prefix: String,
}

pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

impl Server {
    pub fn single() -> Self {
        let port = free_port();
        let mut child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("these tests need redis-server 7 or newer: apt-get install redis-server");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("Ready to accept connections")), "redis-server did not start");
        // Whatever it says further is read, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, port, prefix: format!("t{:08x}:", rand::random::<u32>()) }
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

    /// Loses all data.
    pub async fn flush(&self) {
        assert_eq!(self.command(&["FLUSHALL"]).await, "+OK\r\n");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A way to a server that can lose replies.
pub struct Proxy {
    port: u16,
    drop_next: Arc<AtomicBool>,
}

impl Proxy {
    pub async fn to(server: &Server) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (drop_next, target) = (Arc::new(AtomicBool::new(false)), server.port);
        let dropping = Arc::clone(&drop_next);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, target, Arc::clone(&dropping)));
            }
        });
        Self { port, drop_next }
    }

    /// The server's configuration by this way.
    pub fn config(&self, server: &Server) -> RedisConfig {
        let url = RedisConfig::single(&format!("redis://127.0.0.1:{}", self.port)).url;
        RedisConfig { url, ..server.config() }
    }

    /// The next reply is lost, and the connection with it.
    pub fn drop_next_reply(&self) {
        self.drop_next.store(true, Ordering::SeqCst);
    }
}

async fn pass(client: TcpStream, target: u16, dropping: Arc<AtomicBool>) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let requests = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    });
    let mut bytes = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
        if dropping.swap(false, Ordering::SeqCst) || to_client.write_all(&bytes[..read]).await.is_err() {
            break;
        }
    }
    requests.abort();
}
