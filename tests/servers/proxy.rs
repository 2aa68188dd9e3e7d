//! A proxy in front of a Redis server that drops replies, stalls, or breaks connections.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidegate_core::config::RedisConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::RedisServer;

pub struct Proxy {
    port: u16,
    faults: Arc<Faults>,
}

struct Faults {
    drop_next: AtomicBool,
    stalled: watch::Sender<bool>,
    close: watch::Sender<()>,
}

impl Proxy {
    /// Starts a proxy in front of a server.
    pub async fn to(server: &RedisServer) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let faults = Faults {
            drop_next: AtomicBool::new(false),
            stalled: watch::Sender::new(false),
            close: watch::Sender::new(()),
        };
        let (faults, target) = (Arc::new(faults), server.port);
        let shared_faults = Arc::clone(&faults);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, target, Arc::clone(&shared_faults)));
            }
        });
        Self { port, faults }
    }

    /// Returns the server's configuration with the address of the proxy.
    pub fn config(&self, server: &RedisServer) -> RedisConfig {
        RedisConfig::single(format!("redis://127.0.0.1:{}", self.port)).with_prefix(&server.prefix)
    }

    /// Drops the next reply and closes its connection.
    pub fn drop_next_reply(&self) {
        self.faults.drop_next.store(true, Ordering::SeqCst);
    }

    /// Holds back the replies of all connections, including new ones, or releases them.
    pub fn set_stalled(&self, stalled: bool) {
        self.faults.stalled.send_replace(stalled);
    }

    /// Closes every open connection.
    pub fn close_connections(&self) {
        self.faults.close.send_replace(());
    }
}

/// Forwards bytes in both directions until a side closes its connection or a fault breaks it.
async fn forward(client: TcpStream, target: u16, faults: Arc<Faults>) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let mut close = faults.close.subscribe();
    let mut stalled = faults.stalled.subscribe();
    let requests = async {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    };
    let replies = async {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
            let _ = stalled.wait_for(|stalled| !stalled).await;
            let dropped = faults.drop_next.swap(false, Ordering::SeqCst);
            if dropped || to_client.write_all(&bytes[..read]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = requests => {}
        () = replies => {}
        _ = close.changed() => {}
    }
}
