//! `cargo xtask demo`: the main job on loopback, from the first call to the refused edit, with its promises checked.

mod bound;
mod gateway;
mod platform;
mod report;
mod sinks;
mod story;
mod traffic;

use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;

use crate::guests;
use crate::run::{Result, cargo};
use bound::Bound;
use gateway::{Gateway, Receivers};
use platform::{Dialect, Platform};
use report::{Report, Screen};
use story::Story;
use traffic::Callers;

/// The limit under show.
const BOUND: Bound = Bound { per_second: 60, burst: 30 };

/// Calls a second to Taobao, above its limit, and to Pinduoduo, far below its own.
const TAOBAO_DEMAND: u32 = 110;
const PDD_DEMAND: u32 = 8;

/// What the robot's signatures are made with; it protects nothing beyond this run.
const SECRET: &str = "SECdemo";

/// Builds, runs and reports; whether every promise was held.
pub fn run() -> Result<bool> {
    let screen = Screen::default();
    // At once, so that both are built with the same features of what they share.
    cargo(&["build", "--package", "gateway", "--package", "tidegate-server"])?;
    if let Err(error) = guests::build() {
        screen.say(&format!("going on with the Rhai classifiers alone: {error}"));
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        // Whichever ends first, the other is dropped, and the gateway's process with it.
        tokio::select! {
            report = show(screen) => report.and_then(|report| report.print()),
            signal = interrupted() => Err(format!("ended by {signal}")),
        }
    })
}

async fn show(mut screen: Screen) -> Result<Report> {
    let dir = tempfile::tempdir().map_err(|error| format!("no temporary directory: {error}"))?;
    let (taobao, taobao_upstream) = upstream(Dialect::Taobao).await?;
    let (pdd, pdd_upstream) = upstream(Dialect::Pdd).await?;
    let (robot, webhook) = sinks::robot(SECRET).await?;
    let (mailbox, mail_port) = sinks::mailbox().await?;
    let receivers = Receivers { webhook, secret: SECRET.to_owned(), mail_port };
    let gateway = Gateway::start(dir.path(), BOUND, &[taobao_upstream, pdd_upstream], &receivers).await?;
    screen.open(&gateway.url(""));
    let callers = Callers {
        url: gateway.url("/taobao/router/rest?method=taobao.trade.fullinfo.get&format=json&tid=3000000"),
        per_second: TAOBAO_DEMAND,
        platform: Arc::clone(&taobao),
        screen: Some(screen.clone()),
    };
    let others = Callers {
        url: gateway.url("/pdd/api/router?type=pdd.order.information.get&order_sn=261123-0"),
        per_second: PDD_DEMAND,
        platform: pdd,
        screen: None,
    };
    let calls = tokio::spawn(async { tokio::join!(callers.drive(), others.drive()) });
    let story = Story { gateway, robot, mailbox, screen: screen.clone() };
    let told = story.tell().await;
    let (taobao_tally, pdd_tally) = calls.await.map_err(|error| format!("the callers broke down: {error}"))?;
    let figures = story.figures().await?;
    screen.close();
    Ok(Report::new(BOUND, &taobao.arrivals(), [taobao_tally, pdd_tally], told, figures))
}

/// Starts a platform and names it to the gateway.
async fn upstream(dialect: Dialect) -> Result<(Arc<Platform>, String)> {
    let (platform, address) = Platform::start(dialect).await?;
    Ok((platform, format!("{}={address}", dialect.name())))
}

/// Serves on a free port of loopback; tells the address.
async fn listen(router: Router) -> Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| format!("no free port: {error}"))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    tokio::spawn(axum::serve(listener, router).into_future());
    Ok(format!("http://{address}"))
}

/// The signals by which people and supervisors end a program.
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
    // Where signals cannot be heard the demo just runs to its end.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
    "ctrl-c"
}
