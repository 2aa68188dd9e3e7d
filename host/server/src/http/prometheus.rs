//! The metrics page for Prometheus (text format 0.0.4).

use std::fmt::{Display, Write};
use std::time::Duration;

use axum::extract::State;
use http::HeaderName;
use http::header::CONTENT_TYPE;
use tidegate::{ActiveAlert, Host};
use tidegate_policy::{Policies, PolicyStatus};
use tidegate_redis::ServerState;

use crate::api::ApiError;

/// The time window of the quantiles: long enough for stable values, short enough to show an incident.
const QUANTILE_WINDOW: Duration = Duration::from_secs(300);

/// Get all metrics in the Prometheus format.
#[utoipa::path(get, path = "/metrics", operation_id = "scrape", responses(
    (status = 200, description = "The metrics in text format 0.0.4.", body = String, content_type = "text/plain"),
))]
pub async fn page(State(host): State<Host>) -> Result<([(HeaderName, &'static str); 1], String), ApiError> {
    // While Redis is unavailable, the active alerts are unknown. All other values belong to this process.
    let active = host.alerts().active().await.unwrap_or_default();
    // With thousands of endpoints this takes a while, so it must not block a worker that other requests need.
    let rendered = tokio::task::spawn_blocking(move || render(&host, &active)).await;
    let text = rendered.map_err(|_| ApiError::internal("the metrics task failed"))?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}

fn render(host: &Host, active: &[ActiveAlert]) -> String {
    let mut page = Page::default();
    calls(&mut page, host);
    limits(&mut page, host);
    alerts(&mut page, active);
    redis(&mut page, host);
    policies(&mut page, host);
    page.0
}

/// A metrics page that is being written.
#[derive(Default)]
struct Page(String);

impl Page {
    /// Starts a metric family.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    /// Writes one sample of the current family.
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
    let pairs = endpoints.iter().flat_map(|(platform, names)| names.iter().map(move |name| (platform, name)));
    // Both families show the same totals, so they are read once.
    let endpoints: Vec<_> =
        pairs.map(|(platform, endpoint)| (platform, endpoint, host.metrics().totals(platform, endpoint))).collect();
    page.family("tidegate_calls_total", "counter", "Attempts of calls, by outcome; `limited` ones were not sent.");
    for (platform, endpoint, totals) in &endpoints {
        for (outcome, count) in [("success", totals.success), ("error", totals.errors), ("limited", totals.limited)] {
            let labels = [("platform", platform.as_str()), ("endpoint", endpoint.as_str()), ("outcome", outcome)];
            page.sample("tidegate_calls_total", &labels, count);
        }
    }
    let name = "tidegate_call_duration_seconds";
    page.family(name, "summary", "Duration of attempts. Quantiles cover the last 5 minutes and are accurate to 1 %.");
    for (platform, endpoint, totals) in &endpoints {
        let labels = [("platform", platform.as_str()), ("endpoint", endpoint.as_str())];
        let recent = host.metrics().stats(platform, Some(endpoint), QUANTILE_WINDOW);
        for (quantile, millis) in [("0.5", recent.p50), ("0.95", recent.p95), ("0.99", recent.p99)] {
            page.sample(name, &[labels[0], labels[1], ("quantile", quantile)], millis / 1e3);
        }
        page.sample(&format!("{name}_sum"), &labels, totals.total_ms / 1e3);
        page.sample(&format!("{name}_count"), &labels, totals.count);
    }
}

fn limits(page: &mut Page, host: &Host) {
    let limits: Vec<_> =
        host.limiters().into_iter().map(|(name, limiter)| (name, limiter.cached_status(), limiter.quota())).collect();
    let help = "Available tokens. Negative if queued calls have reserved future tokens.";
    page.family("tidegate_limit_available", "gauge", help);
    for (platform, status, _) in &limits {
        page.sample("tidegate_limit_available", &[("platform", platform)], status.available);
    }
    page.family("tidegate_limit_rate", "gauge", "Refill rate in tokens per second.");
    for (platform, _, quota) in &limits {
        page.sample("tidegate_limit_rate", &[("platform", platform)], quota.rate().tokens_per_second());
    }
    page.family("tidegate_limit_burst", "gauge", "Maximum number of tokens in the bucket.");
    for (platform, status, _) in &limits {
        page.sample("tidegate_limit_burst", &[("platform", platform)], status.burst);
    }
}

fn alerts(page: &mut Page, active: &[ActiveAlert]) {
    page.family("tidegate_alerts", "gauge", "1 for each active alert, pending or firing.");
    for alert in active {
        let endpoint = alert.endpoint.as_deref().unwrap_or_default();
        let labels = [
            ("rule", alert.rule.as_str()),
            ("platform", alert.platform.as_str()),
            ("endpoint", endpoint),
            ("severity", alert.severity.as_str()),
            ("state", alert.state.as_str()),
        ];
        page.sample("tidegate_alerts", &labels, 1);
    }
}

fn redis(page: &mut Page, host: &Host) {
    let Some(health) = host.redis_health() else { return };
    page.family("tidegate_redis_up", "gauge", "1 if the Redis server is usable, 0 otherwise.");
    for server in &health.servers {
        let labels = [("server", server.server.as_deref().unwrap_or("unknown"))];
        page.sample("tidegate_redis_up", &labels, u8::from(server.state == ServerState::Up));
    }
    page.family("tidegate_redis_reconnects_total", "counter", "Connections that replaced a lost connection.");
    page.sample("tidegate_redis_reconnects_total", &[], health.reconnects);
    let name = "tidegate_redis_unavailable_errors_total";
    page.family(
        name,
        "counter",
        "Requests that failed because Redis was unavailable. Limits then apply on_redis_failure.",
    );
    page.sample(name, &[], health.unavailable_errors);
    page.family("tidegate_redis_processes", "gauge", "Processes that share this Redis, as of the last heartbeat.");
    page.sample("tidegate_redis_processes", &[], health.processes);
}

fn candidates(page: &mut Page, status: &[PolicyStatus]) {
    let name = "tidegate_candidate_verdicts_total";
    page.family(name, "counter", "Verdicts of a candidate policy, compared with those of the active policy.");
    for (policy, counts) in status.iter().filter_map(|policy| Some((&policy.path, policy.differences.as_ref()?))) {
        let same = counts.compared - counts.differing;
        for (outcome, count) in [("same", same), ("differs", counts.differing), ("dropped", counts.dropped)] {
            page.sample(name, &[("policy", policy), ("outcome", outcome)], count);
        }
    }
}

/// The active version of every policy, and the counters of the decision log.
fn decisions(page: &mut Page, policies: &Policies, status: &[PolicyStatus]) {
    let name = "tidegate_policy_active_since_generation";
    page.family(name, "gauge", "The generation that introduced the active version of a policy.");
    for (policy, generation) in status.iter().filter_map(|policy| Some((&policy.path, policy.generation?))) {
        page.sample(name, &[("policy", policy)], generation);
    }
    let decisions = policies.decision_log_status();
    page.family(
        "tidegate_decisions_total",
        "counter",
        "Decision log entries by outcome. Dropped entries are missing from the log.",
    );
    for (outcome, count) in [("written", decisions.written), ("dropped", decisions.dropped)] {
        page.sample("tidegate_decisions_total", &[("outcome", outcome)], count);
    }
}

fn policies(page: &mut Page, host: &Host) {
    page.family("tidegate_config_stale", "gauge", "1 if the current configuration file is not active, 0 otherwise.");
    page.sample("tidegate_config_stale", &[], u8::from(host.config_status().stale.is_some()));
    let Some(policies) = host.policies() else { return };
    page.family("tidegate_policy_generation", "gauge", "The active generation of policies.");
    page.sample("tidegate_policy_generation", &[], policies.generation().number());
    let status = policies.status();
    decisions(page, policies, &status);
    page.family("tidegate_policy_stale", "gauge", "1 if the current policy file is not active, 0 otherwise.");
    for policy in &status {
        page.sample("tidegate_policy_stale", &[("policy", &policy.path)], u8::from(policy.stale.is_some()));
    }
    page.family("tidegate_policy_stale_since_seconds", "gauge", "Unix time at which a policy became stale.");
    for policy in &status {
        if let Some(since) = policy.stale_since_ms {
            page.sample("tidegate_policy_stale_since_seconds", &[("policy", &policy.path)], since / 1_000);
        }
    }
    page.family(
        "tidegate_policy_quarantined",
        "gauge",
        "1 if a policy is quarantined because of its faults, 0 otherwise.",
    );
    for policy in &status {
        page.sample("tidegate_policy_quarantined", &[("policy", &policy.path)], u8::from(policy.quarantined.is_some()));
    }
    let name = "tidegate_policy_evaluation_seconds";
    page.family(name, "summary", "Evaluation time of a policy since the process started, accurate to a factor of 2.");
    for policy in &status {
        for (quantile, us) in [("0.5", policy.p50_us), ("0.99", policy.p99_us)] {
            page.sample(name, &[("policy", &policy.path), ("quantile", quantile)], us / 1e6);
        }
    }
    candidates(page, &status);
    page.family("tidegate_policy_evaluations_total", "counter", "Evaluations of a policy.");
    for policy in &status {
        page.sample("tidegate_policy_evaluations_total", &[("policy", &policy.path)], policy.evaluations);
    }
    page.family(
        "tidegate_policy_faults_total",
        "counter",
        "Faults of a policy by kind. After a fault, the fallback decides; an alert keeps its state.",
    );
    for policy in &status {
        for (kind, count) in &policy.faults {
            page.sample("tidegate_policy_faults_total", &[("policy", &policy.path), ("kind", kind.as_str())], count);
        }
    }
}
