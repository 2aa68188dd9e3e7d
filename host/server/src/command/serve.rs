//! `tidegate serve`: a host with an HTTP API.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tidegate::core::Secret;
use tidegate::core::config::{DecisionsConfig, PoliciesConfig};
use tidegate::policy::Policies;
use tidegate::{Config, Host};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{Usage, answer, config_file, configuration};

/// How long open requests may take to end, and then alerts on their way.
const DRAIN: Duration = Duration::from_secs(10);

/// Run a host with an HTTP API.
#[derive(Args)]
pub struct Serve {
    /// The configuration; ./tidegate.toml where there is one, else the shipped defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address to bind instead of the configured one; beyond loopback a token is demanded.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The directory of policies instead of the configured one.
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// Say where it listens as JSON.
    #[arg(long)]
    json: bool,
}

impl Serve {
    /// Serves until interrupted or terminated.
    ///
    /// # Errors
    /// A configuration that is wrong, or an address that cannot be bound.
    pub fn run(self) -> Result<ExitCode, Usage> {
        init_log();
        let file = config_file(self.config.clone());
        let config = configuration(file.as_deref())?;
        let address = self.listen.unwrap_or(config.server.listen);
        let token = config.server.token.clone();
        if !address.ip().is_loopback() && token.is_none() {
            return Err(Usage(format!(
                "{address} is reachable from elsewhere: set [server] token_env or token_file, or listen on 127.0.0.1"
            )));
        }
        let runtime = tokio::runtime::Runtime::new().map_err(|error| Usage(error.to_string()))?;
        let served = runtime.block_on(self.serve(config, file, address, token));
        runtime.shutdown_timeout(Duration::from_secs(1));
        served
    }

    async fn serve(
        &self,
        config: Config,
        file: Option<PathBuf>,
        address: SocketAddr,
        token: Option<Secret>,
    ) -> Result<ExitCode, Usage> {
        let dir = self.policies.clone().unwrap_or_else(|| config.policies.dir.clone());
        if !dir.is_dir() {
            tracing::warn!("{}: no such directory; the built-in fallback decides until it is there", dir.display());
        }
        let policies = Policies::open(&PoliciesConfig { dir, ..config.policies.clone() });
        let channels = Arc::new(crate::notify::from_config);
        let host = Host::builder().config(config).policies(Arc::clone(&policies)).notifiers(channels).build();
        let host = host.map_err(|error| Usage(error.to_string()))?;
        let listener = TcpListener::bind(address).await.map_err(|error| Usage(format!("{address}: {error}")))?;
        let bound = listener.local_addr().map_err(|error| Usage(error.to_string()))?;
        // The guards end their watching when they are dropped, at the end of this function.
        let _config = file.map(|file| host.follow_config(&file)).transpose().map_err(unwatched)?;
        let _policies = host.follow_policies().map_err(unwatched)?;

        let (stop, stopping) = watch::channel(false);
        let (quit, quitting) = watch::channel(false);
        let running = tokio::spawn(host.clone().run(stopped(quitting)));
        answer(self.json, &serde_json::json!({ "listening": bound }), &format!("listening on http://{bound}"));
        let serving = axum::serve(listener, crate::http::router(host, token)).with_graceful_shutdown(stopped(stopping));
        let serving = tokio::spawn(serving.into_future());

        terminated().await;
        tracing::info!("ending");
        let _ = stop.send(true);
        if tokio::time::timeout(DRAIN, serving).await.is_err() {
            tracing::warn!("ended with requests still open after {DRAIN:?}");
        }
        // What the last requests counted is flushed too.
        let _ = quit.send(true);
        if tokio::time::timeout(DRAIN, running).await.is_err() {
            tracing::warn!("ended with alerts still on their way after {DRAIN:?}");
        }
        // Some of the last decisions may still wait to be written.
        policies.log_decisions(&DecisionsConfig::off());
        Ok(ExitCode::SUCCESS)
    }
}

fn unwatched(error: std::io::Error) -> Usage {
    Usage(format!("cannot follow edits: {error}"))
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error says that the sender is gone, which is an end as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Ends when the process is asked to end: ctrl-c, or SIGTERM where there is one.
async fn terminated() {
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
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    // A log that is there already, as in a test, stays.
    let _ = log.try_init();
}
