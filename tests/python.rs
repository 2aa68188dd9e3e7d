//! The Python client against a real server.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tidegate::{Host, Quota};
use tidegate_core::Secret;

const TOKEN: &str = "hunter2-hunter2";

/// Starts a server on a free port. It runs until the runtime ends. Returns its host and its URL.
async fn start_server() -> (Host, String) {
    let host = crate::http::host();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = tidegate_server::http::router(host.clone(), Some(Secret::new(TOKEN)));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (host, format!("http://{address}"))
}

fn python(script: &str, server: &str) -> Command {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../examples/python", script].iter().collect();
    let mut command = Command::new("python3");
    command.arg("-B").arg(path).env("TIDEGATE_SERVER", server).env("TIDEGATE_TOKEN", TOKEN);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs commands in parallel, without blocking the runtime.
async fn run(commands: Vec<Command>) -> Vec<Output> {
    let children: Vec<_> = commands
        .into_iter()
        .map(|mut command| command.spawn().expect("these tests need Python 3.9 or newer: apt-get install python3"))
        .collect();
    let outputs = children.into_iter().map(|child| child.wait_with_output().unwrap());
    tokio::task::block_in_place(|| outputs.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_tests_pass() {
    let (_host, server) = start_server().await;
    let output = run(vec![python("test_tidegate.py", &server)]).await.remove(0);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && stderr.contains("\nOK"), "{stderr}");
    assert!(!stderr.contains("skipped") && !stderr.contains(TOKEN), "{stderr}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_share_one_quota() {
    let (host, server) = start_server().await;
    let (rate, burst) = (100.0, 10.0);
    let limiter = host.limiter("taobao").unwrap();
    limiter.update(Quota::new("100/s".parse().unwrap(), 10).unwrap()).await.unwrap();
    let worker = || {
        let mut worker = python("worker.py", &server);
        worker.args(["--server", &server, "--platform", "taobao", "--seconds", "3"]);
        worker
    };
    let outputs = run(vec![worker(), worker()]).await;
    let mut calls: Vec<(f64, f64)> = Vec::new();
    let (mut from, mut to) = (0.0_f64, f64::MAX);
    for output in outputs {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let time = |call: &Value, at: usize| call[at].as_f64().unwrap();
        let own: Vec<_> =
            report["calls"].as_array().unwrap().iter().map(|call| (time(call, 0), time(call, 1))).collect();
        assert!(own.len() > 20, "each worker gets its share: {}", own.len());
        (from, to) = (from.max(own[0].0), to.min(own[own.len() - 1].1));
        calls.extend(own);
    }
    calls.sort_by(|a, b| a.1.total_cmp(&b.1));
    // The limit allowed a call between its request and its response, so a window that contains both contains the call.
    for (start, _) in calls.iter().step_by(5) {
        let within = calls.iter().filter(|(requested_at, _)| requested_at >= start);
        for (count, (_, end)) in within.enumerate() {
            // The system clock can be adjusted a little while the test runs.
            let granted = burst + rate * (end - start) + 1.0;
            assert!((count + 1) as f64 <= granted, "{} calls in {} s", count + 1, end - start);
        }
    }
    let both = calls.iter().filter(|(_, allowed_at)| (from..=to).contains(allowed_at)).count();
    assert!(both as f64 >= 0.9 * rate * (to - from), "{both} calls in {} s", to - from);
}
