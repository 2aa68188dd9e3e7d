//! A reverse proxy that embeds tidegate. It forwards `/{platform}/{path}` to the platform's upstream and keeps the
//! platform's rate limit.
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
use tidegate::tower::{Route, TidegateLayer};
use tidegate::{ConfigFile, Host};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::Layer;

/// Forward requests to platforms and keep their rate limits.
#[derive(Parser)]
struct Options {
    /// Read the configuration from this file. Without it, the limits of the preset `platforms` apply.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen on this address.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Forward the calls of a platform to this URL. Repeat the option for every platform.
    #[arg(long, value_name = "PLATFORM=URL", value_parser = upstream::parse, required = true)]
    upstream: Vec<(String, String)>,
    /// Let a request wait for the rate limit for at most this time, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    wait_ms: u64,
    /// Fail a request if the platform does not respond within this time, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    timeout_ms: u64,
}

#[tokio::main]
async fn main() -> Result<(), String> {
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_ansi(ansi).with_writer(std::io::stderr).init();
    let options = Options::parse();
    let file = options.config.as_deref().map(config_file);
    let host = build_host(file.as_ref())?;
    // Dropping these guards at the end of `main` stops the file watchers.
    let _config_watch = file.as_ref().map(|file| host.follow_config(file)).transpose().map_err(to_message)?;
    let _policies_watch = host.follow_policies().map_err(to_message)?;
    let stop = CancellationToken::new();
    let host_task = tokio::spawn(host.clone().run(stop.clone().cancelled_owned()));

    let listener = TcpListener::bind(options.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", options.listen))?;
    let address = listener.local_addr().map_err(to_message)?;
    print_address(address);
    let result = axum::serve(listener, router(host, &options)?).with_graceful_shutdown(stop_signal()).await;
    stop.cancel();
    // Give alert notifications that are being sent some time to arrive.
    let _ = tokio::time::timeout(Duration::from_secs(5), host_task).await;
    result.map_err(to_message)
}

/// Returns a configuration file that may use the channel kinds of tidegate.
fn config_file(path: &Path) -> ConfigFile {
    ConfigFile::new(path).channel_kinds(tidegate_notify::channel_kinds())
}

/// Builds the host with the policies and channels of the configuration.
fn build_host(file: Option<&ConfigFile>) -> Result<Host, String> {
    let config = file.map_or_else(|| Ok(tidegate_notify::shipped_config()), ConfigFile::read).map_err(to_message)?;
    let policies = tidegate::Policies::open(&config.policies);
    Host::builder().config(config).policies(policies).build().map_err(to_message)
}

fn router(host: Host, options: &Options) -> Result<Router, String> {
    let upstreams: BTreeMap<_, _> = options.upstream.iter().cloned().collect();
    for platform in upstreams.keys() {
        host.limiter(platform).map_err(|error| format!("--upstream {platform}: {error}"))?;
    }
    let client = upstream::Upstreams::new(upstreams, Duration::from_millis(options.timeout_ms))?;
    let layer = TidegateLayer::new(host.clone(), route).max_wait(Duration::from_millis(options.wait_ms));
    let require_upstream = axum::middleware::from_fn_with_state(client.clone(), upstream::require_upstream);
    let platforms = require_upstream.layer(layer.layer(client));
    let router = Router::new().nest("/-", status::router(host)).fallback_service(platforms);
    Ok(router.layer(axum::middleware::from_fn(upstream::reject_dot_segments)))
}

/// Returns the platform and the endpoint of a request.
///
/// The first path segment names the platform. The endpoint is the query parameter `method`, which TOP's gateways use.
/// If it is absent, the endpoint is the path up to the first segment that contains a digit. With order numbers in the
/// endpoint, every order would have its own metrics.
fn route(request: &http::request::Parts) -> Option<Route> {
    let (platform, path) = upstream::split(&request.uri)?;
    let query = request.uri.query().unwrap_or_default();
    let method = query.split('&').find_map(|pair| pair.strip_prefix("method="));
    Some(Route::new(platform, method.unwrap_or_else(|| endpoint(path))))
}

/// Returns the path up to the first segment that contains a digit. A version such as `v1` does not count as a number.
fn endpoint(path: &str) -> &str {
    let is_version = |segment: &str| segment.strip_prefix('v').is_some_and(|rest| rest.len() <= 2);
    let is_name = |segment: &str| is_version(segment) || !segment.contains(|c: char| c.is_ascii_digit());
    let mut end = 0;
    for segment in path.split_inclusive('/') {
        if !is_name(segment.trim_end_matches('/')) {
            break;
        }
        end += segment.len();
    }
    let endpoint = path[..end].trim_end_matches('/');
    if endpoint.is_empty() { "/" } else { endpoint }
}

fn to_message(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Waits for the interrupt signal, or for SIGTERM, which containers receive.
async fn stop_signal() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}

#[allow(clippy::print_stdout, reason = "the caller reads the address from standard output")]
fn print_address(address: SocketAddr) {
    println!("listening on http://{address}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_contains_no_number() {
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

    const SHOP: &str = "
[limits.shop]
rate = '100/s'
burst = 10
[platforms.shop]
error = { at = '/err', code = 'no', message = 'text' }
retry = { base_delay = '1ms', max_delay = '1ms' }
";

    /// A platform that answers every call with HTTP 200. The first call to `/busy` and every call to `/closed` fails.
    async fn start_shop() -> SocketAddr {
        let calls = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
        let busy = async move || match calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => r#"{"err":{"no":7,"text":"too many calls"}}"#,
            _ => r#"{"orders":[]}"#,
        };
        let closed = async || r#"{"err":{"no":8,"text":"closed"}}"#;
        let shop = Router::new().route("/busy", axum::routing::get(busy)).route("/closed", axum::routing::get(closed));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, shop).into_future());
        address
    }

    #[tokio::test]
    async fn own_platform_reports_errors_in_http_200() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("policies/retry")).unwrap();
        let script = r#"if code == "7" { retry("throttled") } else { give_up("permanent") }"#;
        std::fs::write(dir.path().join("policies/retry/shop.rhai"), script).unwrap();
        let config = dir.path().join("tidegate.toml");
        std::fs::write(&config, SHOP).unwrap();
        let host = build_host(Some(&config_file(&config))).unwrap();
        host.policies().unwrap().reload();
        let upstream = format!("shop=http://{}", start_shop().await);
        let router = router(host.clone(), &Options::parse_from(["gateway", "--upstream", &upstream])).unwrap();
        let call = async |path: &str| {
            let request = http::Request::get(path).body(axum::body::Body::empty()).unwrap();
            let response = tower::ServiceExt::oneshot(router.clone(), request).await.unwrap();
            let attempts = response.headers()[tidegate::tower::ATTEMPTS_HEADER].to_str().unwrap().to_owned();
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            (attempts, String::from_utf8(body.to_vec()).unwrap())
        };
        assert_eq!(call("/shop/busy").await, ("2".to_owned(), r#"{"orders":[]}"#.to_owned()));
        assert_eq!(call("/shop/closed").await, ("1".to_owned(), r#"{"err":{"no":8,"text":"closed"}}"#.to_owned()));
        let errors = |endpoint| host.metrics().stats("shop", Some(endpoint), Duration::from_secs(60)).errors;
        assert_eq!((errors("/busy"), errors("/closed")), (1, 1));
    }
}
