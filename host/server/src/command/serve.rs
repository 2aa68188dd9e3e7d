//! `tidegate serve`: starts the server.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tidegate::{Config, ConfigFile, Host};
use tidegate_core::Secret;
use tidegate_core::config::DecisionsConfig;
use tidegate_policy::Policies;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{UsageError, config_file_with_channels, configuration, default_file, print_result};

/// The maximum time that shutdown waits for open requests, and then for pending metrics and notifications.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "\
Examples:
  tidegate serve                           use ./tidegate.toml, or the defaults
  tidegate serve --config /etc/tidegate/tidegate.toml
  tidegate serve --listen 127.0.0.1:0      listen on a free port
  RUST_LOG=debug tidegate serve            log in more detail";

/// The options of `tidegate serve`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Serve {
    /// Read the configuration from this file [default: ./tidegate.toml if it exists, else the preset `platforms`
    /// and a channel `log`].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen on this address [default: `[server] listen` in the configuration].
    ///
    /// An address other than loopback requires a token: `token`, `token_env` or `token_file` in the `[server]` section.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Load policies from this directory [default: `[policies] dir` in the configuration].
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// Print the listening address as JSON.
    #[arg(long)]
    json: bool,
}

impl Serve {
    /// Serves until the process receives SIGINT or SIGTERM.
    ///
    /// # Errors
    /// Returns an error if the configuration is invalid or the address cannot be bound.
    pub fn run(self) -> Result<ExitCode, UsageError> {
        init_log();
        let file = config_file_with_channels(self.config.clone());
        let config = configuration(file.as_ref())?;
        let address = self.listen.unwrap_or(config.server.listen);
        let token = config.server.token.clone();
        if !address.ip().is_loopback() && token.is_none() {
            return Err(UsageError(format!(
                "{address}: listening on an address other than loopback requires a token; set `token`, `token_env` or \
                 `token_file` in [server], or listen on 127.0.0.1"
            )));
        }
        let runtime = tokio::runtime::Runtime::new().map_err(|error| UsageError(error.to_string()))?;
        let served = runtime.block_on(self.serve(config, file, address, token));
        runtime.shutdown_timeout(Duration::from_secs(1));
        served
    }

    async fn serve(
        &self,
        config: Config,
        file: Option<ConfigFile>,
        address: SocketAddr,
        token: Option<Secret>,
    ) -> Result<ExitCode, UsageError> {
        let dir = self.policies.clone().unwrap_or_else(|| config.policies.dir.clone());
        if !dir.is_dir() {
            tracing::warn!(directory = %dir.display(), "policy directory not found, using the built-in fallback");
        }
        let policies = Policies::open(&config.policies.clone().with_dir(dir));
        let host = Host::builder().config(config).policies(Arc::clone(&policies)).build();
        let host = host.map_err(|error| match &file {
            Some(file) => UsageError(format!("{}: {error}", file.path().display())),
            None => UsageError(error.to_string()),
        })?;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| UsageError(format!("cannot listen on {address}: {error}")))?;
        let bound = listener.local_addr().map_err(|error| UsageError(error.to_string()))?;
        // Watching for changes stops when these guards are dropped, at the end of this function.
        // Without a file, the default one is followed: it becomes active when it is created.
        let _config = host.follow_config(&file.unwrap_or_else(default_file)).map_err(watch_error)?;
        let _policies = host.follow_policies().map_err(watch_error)?;

        let (stop_http, stop_host) = (CancellationToken::new(), CancellationToken::new());
        let host_task = tokio::spawn(host.clone().run(stop_host.clone().cancelled_owned()));
        print_result(self.json, &serde_json::json!({ "listening": bound }), &format!("listening on http://{bound}"));
        let server = axum::serve(listener, crate::http::router(host, token));
        let server = server.with_graceful_shutdown(stop_http.clone().cancelled_owned());
        let http_task = tokio::spawn(server.into_future());

        shutdown_signal().await;
        tracing::info!("shutting down");
        stop_http.cancel();
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, http_task).await.is_err() {
            tracing::warn!(timeout = ?SHUTDOWN_TIMEOUT, "shutdown timed out, closing open requests");
        }
        // The host stops after the HTTP server, so that it also flushes the metrics of the last requests.
        stop_host.cancel();
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, host_task).await.is_err() {
            tracing::warn!(timeout = ?SHUTDOWN_TIMEOUT, "shutdown timed out, metrics or notifications are lost");
        }
        // Wait until the queued decisions are written to the decision log.
        policies.configure_decision_log(&DecisionsConfig::off());
        Ok(ExitCode::SUCCESS)
    }
}

fn watch_error(error: std::io::Error) -> UsageError {
    UsageError(format!("cannot watch for file changes: {error}"))
}

/// Returns when the process receives Ctrl-C or, on Unix, SIGTERM.
async fn shutdown_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

fn init_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    let use_colors = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(use_colors).with_writer(std::io::stderr);
    // Fails if a logger is already installed, as in a test; then that one stays.
    let _ = log.try_init();
}
