//! A way to a server that loses replies, stalls, or breaks.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidegate::core::config::RedisConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::Server;

pub struct Proxy {
    port: u16,
    faults: Arc<Faults>,
}

struct Faults {
    drop_next: AtomicBool,
    stalled: watch::Sender<bool>,
    cut: watch::Sender<()>,
}

impl Proxy {
    pub async fn to(server: &Server) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let faults = Faults {
            drop_next: AtomicBool::new(false),
            stalled: watch::Sender::new(false),
            cut: watch::Sender::new(()),
        };
        let (faults, target) = (Arc::new(faults), server.port);
        let passing = Arc::clone(&faults);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, target, Arc::clone(&passing)));
            }
        });
        Self { port, faults }
    }

    /// The server's configuration by this way.
    pub fn config(&self, server: &Server) -> RedisConfig {
        let url = RedisConfig::single(&format!("redis://127.0.0.1:{}", self.port)).url;
        RedisConfig { url, ..server.config() }
    }

    /// The next reply is lost, and the connection with it.
    pub fn drop_next_reply(&self) {
        self.faults.drop_next.store(true, Ordering::SeqCst);
    }

    /// Replies of all connections, new ones too, wait until they may flow again.
    pub fn stall(&self, stalled: bool) {
        self.faults.stalled.send_replace(stalled);
    }

    /// Every connection breaks.
    pub fn cut(&self) {
        self.faults.cut.send_replace(());
    }
}

async fn pass(client: TcpStream, target: u16, faults: Arc<Faults>) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let mut cut = faults.cut.subscribe();
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
        _ = cut.changed() => {}
    }
}
