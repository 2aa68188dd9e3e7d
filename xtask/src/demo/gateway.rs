//! The gateway process of the demo: its configuration, its lifetime and its status pages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::platform::TIMEOUT;
use super::rate_bound::RateBound;
use crate::run::{Result, binary};

/// How long the gateway may take to start. It compiles Wasm first, which can be slow on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The receivers of notifications.
pub struct AlertReceivers {
    pub webhook: String,
    pub secret: String,
    pub mail_port: u16,
}

/// A running gateway. The process is killed when the value is dropped.
pub struct Gateway {
    address: String,
    dir: PathBuf,
    client: reqwest::Client,
    _child: Child,
}

impl Gateway {
    /// Writes the configuration to `dir`, which contains the policies, and starts the gateway on a free port. Each
    /// upstream has the form `PLATFORM=URL`.
    pub async fn start(dir: &Path, limit: RateBound, upstreams: &[String], receivers: &AlertReceivers) -> Result<Self> {
        let config = dir.join("tidegate.toml");
        replace_file(&config, &configuration(limit, receivers))?;
        let log = fs::File::create(dir.join("gateway.log")).map_err(|error| format!("gateway.log: {error}"))?;
        let mut child = Command::new(binary("gateway")?)
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
            .map_err(|error| format!("cannot run the gateway: {error}"))?;
        let address = read_address(&mut child).await.map_err(|error| {
            let log = fs::read_to_string(dir.join("gateway.log")).unwrap_or_default();
            format!("the gateway did not start: {error}\n{log}")
        })?;
        Ok(Self { address, dir: dir.to_owned(), client: reqwest::Client::new(), _child: child })
    }

    /// Returns the URL of a path on the gateway.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// Returns the path of the file with the alert rules.
    pub fn rules_file(&self) -> PathBuf {
        self.dir.join("policies/alerts.toml")
    }

    /// Returns the message with paths relative to the gateway's directory.
    pub fn with_relative_paths(&self, message: &str) -> String {
        message.replace(&format!("{}/", self.dir.display()), "")
    }

    /// Requests one of the gateway's status pages, which are JSON.
    pub async fn status_page(&self, path: &str) -> Result<Value> {
        let fail = |error: reqwest::Error| format!("GET {path}: {error}");
        let response = self.client.get(self.url(path)).send().await.map_err(fail)?;
        response.error_for_status().map_err(fail)?.json().await.map_err(fail)
    }
}

/// Reads the address from the line that the gateway prints when it is ready.
async fn read_address(child: &mut Child) -> Result<String> {
    let stdout = child.stdout.take().ok_or("its standard output is not available")?;
    let mut lines = BufReader::new(stdout).lines();
    let line = tokio::time::timeout(START_TIMEOUT, lines.next_line()).await;
    let line = line.map_err(|_| format!("it printed nothing for {START_TIMEOUT:?}"))?;
    let line = line.map_err(|error| error.to_string())?.ok_or("it exited")?;
    let address = line.strip_prefix("listening on ").map(str::to_owned);
    // The rest of the output is read and discarded. Otherwise the pipe could fill up and block the gateway.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    address.ok_or_else(|| format!("it printed {line:?}, expected its address"))
}

fn configuration(limit: RateBound, receivers: &AlertReceivers) -> String {
    let (RateBound { per_second, burst }, AlertReceivers { webhook, secret, mail_port }) = (limit, receivers);
    format!(
        r#"presets = ["platforms"]

[limits.taobao]
rate = "{per_second}/s"
burst = {burst}

[retry]
max_attempts = 6
base_delay = "100ms"
max_delay = "2s"
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

/// Replaces a file atomically: writes a new file and renames it.
pub fn replace_file(path: &Path, text: &str) -> Result<()> {
    let new_file = path.with_extension("new");
    let result = fs::write(&new_file, text).and_then(|()| fs::rename(&new_file, path));
    result.map_err(|error| format!("{}: {error}", path.display()))
}
