//! The page that Prometheus reads (text format 0.0.4).

use std::fmt::{Display, Write};
use std::time::Duration;

use axum::extract::State;
use http::header::CONTENT_TYPE;
use http::{HeaderName, StatusCode};
use tidegate::policy::{Policies, PolicyStatus};
use tidegate::redis::{Redis, ServerState};
use tidegate::{ActiveAlert, Host};

/// The window of the quantiles: long enough to be steady, short enough to show trouble.
const QUANTILES: Duration = Duration::from_secs(300);

pub async fn page(State(host): State<Host>) -> Result<([(HeaderName, &'static str); 1], String), StatusCode> {
    // Where Redis is away nobody knows which alerts are active; the rest of the page is this process's own.
    let active = host.alerts().active().await.unwrap_or_default();
    // With thousands of endpoints it takes a while, and other requests wait for the workers.
    let written = tokio::task::spawn_blocking(move || write(&host, &active)).await;
    let text = written.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}

fn write(host: &Host, active: &[ActiveAlert]) -> String {
    let mut page = Page::default();
    calls(&mut page, host);
    limits(&mut page, host);
    alerts(&mut page, active);
    redis(&mut page, host);
    policies(&mut page, host);
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escape(value))).collect();
        self.line(format_args!("{name}{{{}}} {value}", labels.join(",")));
    }

    fn line(&mut self, line: impl Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{line}");
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn calls(page: &mut Page, host: &Host) {
    let endpoints = host.metrics().endpoints();
    let pairs = endpoints.iter().flat_map(|(platform, all)| all.iter().map(move |one| (platform, one)));
    // Both families tell the same figures, so they are read once.
    let figures: Vec<_> =
        pairs.map(|(platform, endpoint)| (platform, endpoint, host.metrics().ever(platform, endpoint))).collect();
    page.family("tidegate_calls_total", "counter", "Calls by outcome; limited ones were not sent.");
    for (platform, endpoint, ever) in &figures {
        for (outcome, count) in [("success", ever.success), ("error", ever.errors), ("limited", ever.limited)] {
            let labels = [("platform", platform.as_str()), ("endpoint", endpoint.as_str()), ("outcome", outcome)];
            page.sample("tidegate_calls_total", &labels, count);
        }
    }
    let name = "tidegate_call_duration_seconds";
    page.family(name, "summary", "Durations of calls; quantiles over the last five minutes, within 1 %.");
    for (platform, endpoint, ever) in &figures {
        let labels = [("platform", platform.as_str()), ("endpoint", endpoint.as_str())];
        let recent = host.metrics().get(platform, Some(endpoint), QUANTILES);
        for (quantile, millis) in [("0.5", recent.p50), ("0.95", recent.p95), ("0.99", recent.p99)] {
            page.sample(name, &[labels[0], labels[1], ("quantile", quantile)], millis / 1e3);
        }
        page.sample(&format!("{name}_sum"), &labels, ever.total_ms / 1e3);
        page.sample(&format!("{name}_count"), &labels, ever.count);
    }
}

fn limits(page: &mut Page, host: &Host) {
    let limits: Vec<_> =
        host.limiters().into_iter().map(|(name, limiter)| (name, limiter.seen(), limiter.quota())).collect();
    page.family("tidegate_limit_available", "gauge", "Tokens there now; negative where calls wait for them.");
    for (platform, status, _) in &limits {
        page.sample("tidegate_limit_available", &[("platform", platform)], status.available);
    }
    page.family("tidegate_limit_rate", "gauge", "Tokens a second.");
    for (platform, _, quota) in &limits {
        page.sample("tidegate_limit_rate", &[("platform", platform)], quota.rate().per_second());
    }
    page.family("tidegate_limit_burst", "gauge", "The most tokens saved up.");
    for (platform, status, _) in &limits {
        page.sample("tidegate_limit_burst", &[("platform", platform)], status.burst);
    }
}

fn alerts(page: &mut Page, active: &[ActiveAlert]) {
    page.family("tidegate_alerts", "gauge", "Alert rules whose condition holds, by state.");
    for alert in active {
        let endpoint = alert.endpoint.as_deref().unwrap_or_default();
        let labels = [
            ("rule", alert.rule.as_str()),
            ("platform", alert.platform.as_str()),
            ("endpoint", endpoint),
            ("severity", alert.severity.name()),
            ("state", alert.state),
        ];
        page.sample("tidegate_alerts", &labels, 1);
    }
}

fn redis(page: &mut Page, host: &Host) {
    let Some(health) = host.redis().map(Redis::health) else { return };
    page.family("tidegate_redis_up", "gauge", "1 where the server can be used.");
    for server in &health.servers {
        let labels = [("server", server.server.as_deref().unwrap_or("unknown"))];
        page.sample("tidegate_redis_up", &labels, u8::from(server.state == ServerState::Up));
    }
    page.family("tidegate_redis_reconnects_total", "counter", "Connections that replaced a lost one.");
    page.sample("tidegate_redis_reconnects_total", &[], health.reconnects);
    page.family("tidegate_redis_away_total", "counter", "Answers that a server was away; limits decided without it.");
    page.sample("tidegate_redis_away_total", &[], health.away_answers);
    page.family("tidegate_redis_processes", "gauge", "Processes that share Redis, by the last heartbeat.");
    page.sample("tidegate_redis_processes", &[], health.processes);
}

fn candidates(page: &mut Page, status: &[PolicyStatus]) {
    let name = "tidegate_candidate_verdicts_total";
    page.family(name, "counter", "Verdicts of a candidate beside those of the live policy.");
    for (policy, found) in status.iter().filter_map(|policy| Some((&policy.path, policy.differences.as_ref()?))) {
        let same = found.compared - found.differing;
        for (outcome, count) in [("same", same), ("differs", found.differing), ("dropped", found.dropped)] {
            page.sample(name, &[("policy", policy), ("outcome", outcome)], count);
        }
    }
}

/// Who decides, and what became of the log of decisions.
fn decisions(page: &mut Page, policies: &Policies, status: &[PolicyStatus]) {
    page.family("tidegate_policy_version", "gauge", "The generation in which the version in force came.");
    for (policy, generation) in status.iter().filter_map(|policy| Some((&policy.path, policy.generation?))) {
        page.sample("tidegate_policy_version", &[("policy", policy)], generation);
    }
    let decisions = policies.decisions();
    page.family("tidegate_decisions_total", "counter", "Lines for the decision log; dropped ones are not in it.");
    for (outcome, count) in [("written", decisions.written), ("dropped", decisions.dropped)] {
        page.sample("tidegate_decisions_total", &[("outcome", outcome)], count);
    }
}

fn policies(page: &mut Page, host: &Host) {
    page.family("tidegate_config_stale", "gauge", "1 where the configuration file as it is now is not in force.");
    page.sample("tidegate_config_stale", &[], u8::from(host.config_status().stale.is_some()));
    let Some(policies) = host.policies() else { return };
    page.family("tidegate_policy_generation", "gauge", "The generation of policies in force.");
    page.sample("tidegate_policy_generation", &[], policies.generation().number());
    let status = policies.status();
    decisions(page, policies, &status);
    page.family("tidegate_policy_stale", "gauge", "1 where the file as it is now is not in force.");
    for policy in &status {
        page.sample("tidegate_policy_stale", &[("policy", &policy.path)], u8::from(policy.stale.is_some()));
    }
    page.family("tidegate_policy_stale_since_seconds", "gauge", "Since when it is stale, in seconds since 1970.");
    for policy in &status {
        if let Some(since) = policy.stale_since_ms {
            page.sample("tidegate_policy_stale_since_seconds", &[("policy", &policy.path)], since / 1_000);
        }
    }
    page.family("tidegate_policy_set_aside", "gauge", "1 where a policy is set aside for its faults.");
    for policy in &status {
        page.sample("tidegate_policy_set_aside", &[("policy", &policy.path)], u8::from(policy.set_aside.is_some()));
    }
    let name = "tidegate_policy_verdict_seconds";
    page.family(name, "summary", "Time of a verdict, to within a factor of two, since the start.");
    for policy in &status {
        for (quantile, us) in [("0.5", policy.p50_us), ("0.99", policy.p99_us)] {
            page.sample(name, &[("policy", &policy.path), ("quantile", quantile)], us / 1e6);
        }
    }
    candidates(page, &status);
    page.family("tidegate_policy_evaluations_total", "counter", "Verdicts asked of a policy.");
    for policy in &status {
        page.sample("tidegate_policy_evaluations_total", &[("policy", &policy.path)], policy.evaluations);
    }
    page.family("tidegate_policy_faults_total", "counter", "Misbehaviours of a policy; the fallback decided.");
    for policy in &status {
        for (kind, count) in &policy.faults {
            page.sample("tidegate_policy_faults_total", &[("policy", &policy.path), ("kind", kind)], count);
        }
    }
}
