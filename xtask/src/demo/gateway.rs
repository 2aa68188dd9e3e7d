//! The gateway under show: its configuration, its process, and what it says of itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::bound::Bound;
use super::platform::TIMEOUT;
use crate::run::{Result, root};

/// How long the gateway may take to come up; it compiles Wasm first, here perhaps on a busy machine.
const START: Duration = Duration::from_secs(60);

/// Where alerts go.
pub struct Receivers {
    pub webhook: String,
    pub secret: String,
    pub mail_port: u16,
}

/// A running gateway; it dies with this value.
pub struct Gateway {
    address: String,
    dir: PathBuf,
    client: reqwest::Client,
    _child: Child,
}

impl Gateway {
    /// Writes configuration and policies to `dir` and starts the gateway on them, on a free port; `upstreams` are
    /// written `PLATFORM=URL`.
    pub async fn start(dir: &Path, bound: Bound, upstreams: &[String], receivers: &Receivers) -> Result<Self> {
        copy_policies(&root().join("policies"), &dir.join("policies"))?;
        let config = dir.join("tidegate.toml");
        write(&config, &configuration(bound, receivers))?;
        let log = fs::File::create(dir.join("gateway.log")).map_err(|error| format!("gateway.log: {error}"))?;
        let mut child = Command::new(root().join("target/debug/gateway"))
            .arg("--config")
            .arg(&config)
            .args(["--listen", "127.0.0.1:0"])
            .args(upstreams.iter().flat_map(|upstream| ["--upstream", upstream]))
            .args(["--timeout-ms", &TIMEOUT.as_millis().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("the gateway does not start: {error}"))?;
        let address = read_address(&mut child).await.map_err(|error| {
            let log = fs::read_to_string(dir.join("gateway.log")).unwrap_or_default();
            format!("the gateway did not come up: {error}\n{log}")
        })?;
        Ok(Self { address, dir: dir.to_owned(), client: reqwest::Client::new(), _child: child })
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// The file that holds the alert rules.
    pub fn rules(&self) -> PathBuf {
        self.dir.join("policies/alerts.toml")
    }

    /// A message with its paths as seen from the gateway's directory.
    pub fn within(&self, message: &str) -> String {
        message.replace(&format!("{}/", self.dir.display()), "")
    }

    /// One of the gateway's own pages.
    pub async fn page(&self, path: &str) -> Result<Value> {
        let fail = |error: reqwest::Error| format!("GET {path}: {error}");
        let answer = self.client.get(self.url(path)).send().await.map_err(fail)?;
        answer.error_for_status().map_err(fail)?.json().await.map_err(fail)
    }
}

/// The address in the one line that the gateway prints once it listens.
async fn read_address(child: &mut Child) -> Result<String> {
    let stdout = child.stdout.take().ok_or("it has no output")?;
    let mut lines = BufReader::new(stdout).lines();
    let line = tokio::time::timeout(START, lines.next_line()).await;
    let line = line.map_err(|_| format!("nothing was heard of it for {START:?}"))?;
    let line = line.map_err(|error| error.to_string())?.ok_or("it ended")?;
    let address = line.strip_prefix("listening on ").map(str::to_owned);
    // Whatever else it prints must find a reader, or the gateway would block on a full pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    address.ok_or_else(|| format!("it said {line:?} in place of its address"))
}

fn configuration(bound: Bound, receivers: &Receivers) -> String {
    let (Bound { per_second, burst }, Receivers { webhook, secret, mail_port }) = (bound, receivers);
    format!(
        r#"[limits.taobao]
rate = "{per_second}/s"
burst = {burst}

[retry]
max_attempts = 6
base = "100ms"
cap = "2s"
deadline = "15s"

[alerting]
interval = "1s"

[channels.dingtalk]
kind = "dingtalk"
webhook = "{webhook}"
secret = "{secret}"

[channels.email]
kind = "email"
host = "127.0.0.1"
port = {mail_port}
tls = "none"
from = "tidegate@example.com"
to = ["ops@example.com"]

[policies]
dir = "policies"
"#
    )
}

/// Writes a file in one step, the way editors that mean well do.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let beside = path.with_extension("new");
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| format!("{}: {error}", path.display()))
}

/// Copies what the host reads: rules, scripts and built components, not the guests' sources.
fn copy_policies(from: &Path, to: &Path) -> Result<()> {
    let fail = |error: std::io::Error| format!("{}: {error}", from.display());
    fs::create_dir_all(to).map_err(fail)?;
    for entry in fs::read_dir(from).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.ends_with("guests") {
            continue;
        } else if path.is_dir() {
            copy_policies(&path, &target)?;
        } else {
            fs::copy(&path, &target).map_err(fail)?;
        }
    }
    Ok(())
}
