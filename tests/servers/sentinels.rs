//! A master, its replica, and three Sentinels that watch them.

use std::time::Duration;

use tidegate::core::Secret;
use tidegate::core::config::{RedisConfig, RedisKind};

use super::Server;

/// The name under which the Sentinels know the master.
const NAME: &str = "front";

pub struct Sentinels {
    /// The master first.
    pub servers: [Server; 2],
    sentinels: Vec<Server>,
}

impl Sentinels {
    /// Started, and of one mind.
    pub async fn start() -> Self {
        let master = Server::single();
        let port = master.port.to_string();
        let replica = Server::with(&["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"]);
        replica.says(&["INFO", "replication"], "master_link_status:up").await;
        let sentinels: Vec<_> = (0..3).map(|_| sentinel(&port)).collect();
        for sentinel in &sentinels {
            let master = ["SENTINEL", "MASTER", NAME];
            sentinel.says(&master, "num-other-sentinels\r\n$1\r\n2").await;
            sentinel.says(&master, "num-slaves\r\n$1\r\n1").await;
        }
        Self { servers: [master, replica], sentinels }
    }

    /// How to find the master by them.
    pub fn config(&self) -> RedisConfig {
        let url = |sentinel: &Server| Secret::new(format!("redis://127.0.0.1:{}", sentinel.port));
        RedisConfig {
            kind: RedisKind::Sentinel,
            url: self.sentinels.iter().map(url).collect(),
            master: NAME.to_owned(),
            decide_within: Duration::from_millis(500),
            ..self.servers[0].config()
        }
    }

    /// Has the replica take the master's place.
    pub async fn replace_master(&self) {
        self.sentinels[0].tell(&["SENTINEL", "FAILOVER", NAME]).await;
    }
}

fn sentinel(port: &str) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sentinel.conf");
    let settings = [
        format!("sentinel monitor {NAME} 127.0.0.1 {port} 2"),
        format!("sentinel down-after-milliseconds {NAME} 500"),
        format!("sentinel failover-timeout {NAME} 2000"),
    ];
    std::fs::write(&file, settings.join("\n")).unwrap();
    Server::keeping(dir, &[file.to_str().unwrap(), "--sentinel"])
}
