//! A reverse proxy that embeds tidegate: `/{platform}/{path}` goes to the platform's upstream, inside its limit.
//!
//! ```text
//! gateway --config tidegate.toml --upstream taobao=https://gw.api.taobao.com
//! ```

mod status;
mod upstream;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use clap::Parser;
use tidegate::tower::{Layer, Route};
use tidegate::{Config, Host};
use tokio::net::TcpListener;
use tower::Layer as _;

/// A reverse proxy that keeps calls to platforms inside their limits.
#[derive(Parser)]
struct Options {
    /// The configuration; the shipped defaults without it.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where a platform's calls go; may be given again.
    #[arg(long, value_name = "PLATFORM=URL", value_parser = upstream::parse, required = true)]
    upstream: Vec<(String, String)>,
    /// How long a request may wait for the limit, in milliseconds.
    #[arg(long, default_value_t = 0)]
    wait_ms: u64,
    /// How long a platform may take to answer, in milliseconds.
    #[arg(long, default_value_t = 10_000)]
    timeout_ms: u64,
}

#[tokio::main]
async fn main() -> Result<(), String> {
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_ansi(colours).with_writer(std::io::stderr).init();
    let options = Options::parse();
    let host = host(options.config.as_deref())?;
    // Both guards end their watching when they are dropped, at the end of `main`.
    let _config = options.config.as_deref().map(|path| host.follow_config(path)).transpose().map_err(told)?;
    let _policies = host.follow_policies().map_err(told)?;
    let (stop, stopped) = tokio::sync::watch::channel(());
    let alerts = tokio::spawn(host.clone().run(ended(stopped)));

    let listener = TcpListener::bind(options.listen).await.map_err(|error| format!("{}: {error}", options.listen))?;
    let address = listener.local_addr().map_err(told)?;
    announce(address);
    let served = axum::serve(listener, router(host, &options)?).with_graceful_shutdown(interrupted()).await;
    drop(stop);
    // Alerts on their way get a moment to arrive.
    let _ = tokio::time::timeout(Duration::from_secs(5), alerts).await;
    served.map_err(told)
}

/// The host with the policies and channels of the configuration.
fn host(path: Option<&Path>) -> Result<Host, String> {
    let config = path.map_or_else(|| Ok(Config::default()), tidegate::read_config)?;
    let policies = tidegate::policy::Policies::open(&config.policies);
    let channels = std::sync::Arc::new(tidegate_server::notify::from_config);
    Host::builder().config(config).policies(policies).notifiers(channels).build().map_err(told)
}

fn router(host: Host, options: &Options) -> Result<Router, String> {
    let upstreams: BTreeMap<_, _> = options.upstream.iter().cloned().collect();
    let client = upstream::Upstreams::new(upstreams, Duration::from_millis(options.timeout_ms))?;
    let layer = Layer::new(host.clone(), route).wait(Duration::from_millis(options.wait_ms));
    let router = Router::new().nest("/-", status::router(host)).fallback_service(layer.layer(client));
    Ok(router.layer(axum::middleware::from_fn(upstream::plain_paths)))
}

/// The first segment of the path names the platform. The endpoint is the method that TOP's gateways name in the query,
/// else the path as far as it holds no numbers: each order would be measured alone.
fn route(request: &http::request::Parts) -> Option<Route> {
    let (platform, path) = upstream::split(&request.uri)?;
    let query = request.uri.query().unwrap_or_default();
    let method = query.split('&').find_map(|pair| pair.strip_prefix("method="));
    Some(Route::new(platform, method.unwrap_or_else(|| named(path))))
}

/// A path up to its first segment that is a number or holds one; a version such as `v1` is a name.
fn named(path: &str) -> &str {
    let is_version = |segment: &str| segment.strip_prefix('v').is_some_and(|rest| rest.len() <= 2);
    let is_name = |segment: &str| is_version(segment) || !segment.contains(|c: char| c.is_ascii_digit());
    let mut end = 0;
    for segment in path.split_inclusive('/') {
        if !is_name(segment.trim_end_matches('/')) {
            break;
        }
        end += segment.len();
    }
    let named = path[..end].trim_end_matches('/');
    if named.is_empty() { "/" } else { named }
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

async fn ended(mut stopped: tokio::sync::watch::Receiver<()>) {
    // An error says that the sender is gone: that is the end that is waited for.
    let _ = stopped.changed().await;
}

async fn interrupted() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::error!(%error, "cannot listen for interrupts");
        std::future::pending::<()>().await;
    }
}

#[allow(clippy::print_stdout, reason = "whoever starts the gateway reads its address here")]
fn announce(address: SocketAddr) {
    println!("listening on http://{address}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_name_and_no_number() {
        let rows = [
            ("/taobao/router/rest?method=taobao.time.get&sign=1", "taobao.time.get"),
            ("/amazon/orders/v0/orders", "/orders/v0/orders"),
            ("/amazon/orders/v0/orders/026-1520163-6049104/items", "/orders/v0/orders"),
            ("/jd/orders/123", "/orders"),
            ("/jd/v1/orders/123", "/v1/orders"),
            ("/jd/v123/orders", "/"),
            ("/jd", "/"),
        ];
        for (uri, endpoint) in rows {
            let (parts, ()) = http::Request::get(uri).body(()).unwrap().into_parts();
            assert_eq!(route(&parts).unwrap().endpoint, endpoint, "{uri}");
        }
    }
}
