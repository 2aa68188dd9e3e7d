//! `cargo xtask demo`: shows the main features of tidegate on this machine and checks their guarantees.

mod call_counts;
mod gateway;
mod load;
mod loopback;
mod platform;
mod policies;
mod progress;
mod rate_bound;
mod receivers;
mod report;
mod scenario;
mod traffic;

use std::path::PathBuf;
use std::sync::Arc;

use crate::guests;
use crate::run::{Result, cargo, root};
use gateway::{AlertReceivers, Gateway};
use load::{PDD_CALLS_PER_SECOND, TAOBAO_CALLS_PER_SECOND, TAOBAO_LIMIT};
use platform::{MockPlatform, PlatformKind};
use progress::ProgressOutput;
use report::Report;
use scenario::Scenario;
use traffic::Traffic;

/// The secret for the signatures of DingTalk notifications. Only this run uses it.
const WEBHOOK_SECRET: &str = "SECdemo";

/// Builds the binaries, runs the demo and prints the report. Returns whether all checks passed.
pub fn run() -> Result<bool> {
    let output = ProgressOutput::default();
    // One cargo command builds both, so that their shared dependencies are compiled once, with the same features.
    cargo(&["build", "--package", "gateway", "--package", "tidegate-server"])?;
    let component = match guests::build() {
        Ok(()) => Some(root().join(guests::PDD_COMPONENT)),
        Err(error) => {
            output.print_line(&format!("the Wasm guests are not built, so the demo uses only scripts: {error}"));
            None
        }
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        // When one branch ends, the other is dropped. Dropping the demo also stops the gateway process.
        tokio::select! {
            report = run_demo(output, component) => report.and_then(|report| report.print()),
            signal = interrupted() => Err(format!("interrupted by {signal}")),
        }
    })
}

/// Runs the demo. If there is a component, it is the retry policy for Pinduoduo; otherwise the shipped script is.
async fn run_demo(mut output: ProgressOutput, component: Option<PathBuf>) -> Result<Report> {
    let dir = tempfile::tempdir().map_err(|error| format!("cannot create a temporary directory: {error}"))?;
    policies::create(&dir.path().join("policies"), component.as_deref())?;
    let (taobao, taobao_upstream) = start_platform(PlatformKind::Taobao).await?;
    let (pdd, pdd_upstream) = start_platform(PlatformKind::Pdd).await?;
    let (dingtalk, webhook) = receivers::start_dingtalk_robot(WEBHOOK_SECRET).await?;
    let (mail, mail_port) = receivers::start_mail_server().await?;
    let receivers = AlertReceivers { webhook, secret: WEBHOOK_SECRET.to_owned(), mail_port };
    let gateway = Gateway::start(dir.path(), TAOBAO_LIMIT, &[taobao_upstream, pdd_upstream], &receivers).await?;
    output.start(&gateway.url(""));
    let taobao_traffic = Traffic {
        url: gateway.url("/taobao/router/rest?method=taobao.trade.fullinfo.get&format=json&tid=3000000"),
        per_second: TAOBAO_CALLS_PER_SECOND,
        platform: Arc::clone(&taobao),
        output: Some(output.clone()),
    };
    let pdd_traffic = Traffic {
        url: gateway.url("/pdd/api/router?type=pdd.order.information.get&order_sn=261123-0"),
        per_second: PDD_CALLS_PER_SECOND,
        platform: pdd,
        output: None,
    };
    let traffic = tokio::spawn(async { tokio::join!(taobao_traffic.run(), pdd_traffic.run()) });
    let scenario = Scenario { gateway, dingtalk, mail, output: output.clone() };
    let observations = scenario.run().await;
    let (taobao_counts, pdd_counts) = traffic.await.map_err(|error| format!("the traffic task failed: {error}"))?;
    let stats = scenario.stats().await?;
    output.finish();
    Ok(Report::new(TAOBAO_LIMIT, &taobao.arrivals(), [taobao_counts, pdd_counts], observations, stats))
}

/// Starts a mock platform and returns it with the value of the gateway's `--upstream` option.
async fn start_platform(kind: PlatformKind) -> Result<(Arc<MockPlatform>, String)> {
    let (platform, address) = MockPlatform::start(kind).await?;
    Ok((platform, format!("{}={address}", kind.name())))
}

/// Waits for SIGINT or SIGTERM and returns its name.
async fn interrupted() -> &'static str {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            return tokio::select! {
                _ = tokio::signal::ctrl_c() => "ctrl-c",
                _ = terminated.recv() => "SIGTERM",
            };
        }
    }
    // If signals cannot be received, the demo runs to its end.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
    "ctrl-c"
}
