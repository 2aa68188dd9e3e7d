//! Servers on the loopback interface, for mock platforms and receivers of alerts.

use axum::Router;
use tokio::net::TcpListener;

use crate::run::Result;

/// Serves a router on a free port of the loopback interface and returns its URL.
pub async fn serve_on_loopback(router: Router) -> Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| format!("cannot bind a port: {error}"))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    tokio::spawn(axum::serve(listener, router).into_future());
    Ok(format!("http://{address}"))
}
