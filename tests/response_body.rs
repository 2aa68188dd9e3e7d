//! The body of a platform's response: which policies receive it, and where it is logged.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::Value;
use tidegate::tower::{Body, BoxError, MAX_INSPECTED_BODY, Route, TidegateLayer};
use tidegate::{Config, Failure, Host};
use tidegate_core::config::DecisionsConfig;
use tidegate_policy::Policies;
use tower::{Layer, ServiceExt, service_fn};

use crate::policies::policies_config;

/// A policy that gives up with the length and the end of the body as its reason.
const READS: &str = r#"give_up("permanent", `${body.len}: ${body.sub_string(body.len - 3)}`)"#;
/// A policy that does not read the body.
const READS_NOT: &str = r#"if message.contains("body") { abstain() } else { give_up("permanent", "no body") } // body"#;

fn open(files: &[(&str, &str)]) -> (tempfile::TempDir, Arc<Policies>) {
    let dir = tempfile::tempdir().unwrap();
    for (name, script) in files {
        save(dir.path(), name, script);
    }
    let policies = Policies::open(&policies_config(dir.path()));
    assert_eq!(policies.reload().rejected, BTreeMap::new());
    (dir, policies)
}

fn save(dir: &Path, name: &str, script: &str) {
    fs::create_dir_all(dir.join("retry")).unwrap();
    fs::write(dir.join("retry").join(name), script).unwrap();
}

#[test]
fn body_is_needed_if_a_policy_that_may_decide_reads_it() {
    let rows: [(&[(&str, &str)], bool); 7] = [
        (&[], false),
        (&[("jd.rhai", READS_NOT), ("default.rhai", READS_NOT)], false),
        (&[("jd.rhai", READS), ("default.rhai", READS_NOT)], true),
        (&[("jd.rhai", READS_NOT), ("default.rhai", READS)], true),
        (&[("jd.rhai", READS_NOT), ("jd.candidate.rhai", READS)], true),
        (&[("jd.rhai", READS_NOT), ("default.candidate.rhai", READS)], true),
        (&[("jd.rhai", READS_NOT), ("pdd.rhai", READS), ("pdd.candidate.rhai", READS)], false),
    ];
    for (files, expected) in rows {
        let (_dir, policies) = open(files);
        assert_eq!(policies.reads_body("jd"), expected, "{files:?}");
    }
}

#[test]
fn body_is_needed_as_long_as_the_previous_version_may_decide() {
    let (dir, policies) = open(&[("jd.rhai", READS)]);
    for (script, expected) in [(READS_NOT, true), ("abstain()", false), (READS, true)] {
        save(dir.path(), "jd.rhai", script);
        policies.reload();
        assert_eq!(policies.reads_body("jd"), expected, "{script}");
    }
}

/// Sends one request through the layer to a platform that fails with this body. Returns the reason of the verdict, and
/// the body that the caller receives.
async fn send(host: &Host, dir: &Path, body: &str) -> (String, String) {
    let file = dir.join("decisions.ndjson");
    let policies = host.policies().unwrap();
    policies.configure_decision_log(&DecisionsConfig::to_file(file.clone()).with_max_size(1 << 30));
    let bytes = body.to_owned();
    let platform = service_fn(move |_: Request<Body>| {
        let response = Response::builder().status(400).body(Body::from(bytes.clone())).unwrap();
        async move { Ok::<_, BoxError>(response) }
    });
    let layer = TidegateLayer::new(host.clone(), |_| Some(Route::new("jd", "orders")));
    let request = Request::get("/").body(Body::from("")).unwrap();
    let response = layer.layer(platform).oneshot(request).await.unwrap();
    let received = response.into_body().collect().await.unwrap().to_bytes();
    policies.configure_decision_log(&DecisionsConfig::off());
    let text = fs::read_to_string(&file).unwrap();
    let line: Value = serde_json::from_str(text.lines().next_back().unwrap()).unwrap();
    let reason = line["verdict"]["reason"].as_str().unwrap_or_default().to_owned();
    (reason, String::from_utf8(received.to_vec()).unwrap())
}

#[tokio::test]
async fn layer_passes_the_body_to_the_active_policy() {
    let (dir, policies) = open(&[("jd.rhai", READS)]);
    let host = Host::builder().config(Config::with_platforms()).policies(policies).build().unwrap();
    let long = format!("{}END of it", "x".repeat(MAX_INSPECTED_BODY - 3));
    let rows = [("<error/>", "8: r/>"), (&long, "65536: END")];
    for (body, reason) in rows {
        assert_eq!(send(&host, dir.path(), body).await, (reason.to_owned(), body.to_owned()));
    }
    save(dir.path(), "jd.rhai", READS_NOT);
    host.policies().unwrap().reload();
    assert_eq!(send(&host, dir.path(), "<error/>").await.0, "no body");
    save(dir.path(), "jd.rhai", READS);
    host.policies().unwrap().reload();
    assert_eq!(send(&host, dir.path(), "<error/>").await.0, "8: r/>", "the layer follows the reload");
}

#[test]
fn decision_log_has_the_body_only_for_the_policies_that_read_it() {
    let (dir, policies) =
        open(&[("jd.rhai", r#"if body == "" { retry("quota") } else { abstain() }"#), ("default.rhai", READS_NOT)]);
    let file = dir.path().join("decisions.ndjson");
    policies.configure_decision_log(&DecisionsConfig::to_file(file.clone()).with_max_size(1 << 30));
    let body = Some(r#"{ "code": 7, "session_key": "s3" }"#.to_owned());
    let mut failure = Failure::default().with_platform("jd");
    failure.body = body;
    let _ = policies.classify(&failure);
    policies.configure_decision_log(&DecisionsConfig::off());
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let bodies: Vec<_> = lines.iter().map(|line| (line["policy"].as_str(), line["input"]["body"].as_str())).collect();
    let masked = r#"{ "code": 7, "session_key": "***" }"#;
    assert_eq!(bodies, [(Some("retry/jd.rhai"), Some(masked)), (Some("retry/default.rhai"), None)]);
}
