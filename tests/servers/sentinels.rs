//! A master, its replica, and three Sentinels that monitor them.

use std::time::Duration;

use tidegate_core::config::RedisConfig;

use super::RedisServer;

/// The master's name in the configuration of the Sentinels.
const MASTER_NAME: &str = "front";

pub struct Sentinels {
    /// The initial master and its replica, in this order.
    pub servers: [RedisServer; 2],
    sentinels: Vec<RedisServer>,
}

impl Sentinels {
    /// Starts all servers and waits until the Sentinels know each other and the replica.
    pub async fn start() -> Self {
        let master = RedisServer::start();
        let port = master.port.to_string();
        let replica = RedisServer::with_args(&["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"]);
        replica.wait_for_reply(&["INFO", "replication"], "master_link_status:up").await;
        let sentinels: Vec<_> = (0..3).map(|_| start_sentinel(&port)).collect();
        for sentinel in &sentinels {
            let master = ["SENTINEL", "MASTER", MASTER_NAME];
            sentinel.wait_for_reply(&master, "num-other-sentinels\r\n$1\r\n2").await;
            sentinel.wait_for_reply(&master, "num-slaves\r\n$1\r\n1").await;
        }
        Self { servers: [master, replica], sentinels }
    }

    /// Returns a configuration that finds the master through the Sentinels.
    pub fn config(&self) -> RedisConfig {
        let urls = self.sentinels.iter().map(|sentinel| format!("redis://127.0.0.1:{}", sentinel.port));
        RedisConfig::sentinel(urls, MASTER_NAME)
            .with_prefix(&self.servers[0].prefix)
            .with_decide_within(Duration::from_millis(500))
    }

    /// Starts a failover from the master to the replica.
    pub async fn failover(&self) {
        self.sentinels[0].command_ok(&["SENTINEL", "FAILOVER", MASTER_NAME]).await;
    }
}

fn start_sentinel(port: &str) -> RedisServer {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sentinel.conf");
    let settings = [
        format!("sentinel monitor {MASTER_NAME} 127.0.0.1 {port} 2"),
        format!("sentinel down-after-milliseconds {MASTER_NAME} 500"),
        format!("sentinel failover-timeout {MASTER_NAME} 2000"),
    ];
    std::fs::write(&file, settings.join("\n")).unwrap();
    RedisServer::in_dir(dir, &[file.to_str().unwrap(), "--sentinel"])
}
