//! The output at the end of the demo: a table, the results of the checks and one line of JSON.
#![allow(clippy::print_stdout, reason = "the output of a command")]

use std::time::Duration;

use serde::Serialize;

use super::call_counts::CallCounts;
use super::rate_bound::{JITTER, RateBound};
use super::scenario::{DemoStats, Observations};

/// A check of the demo and its result.
struct Check {
    name: &'static str,
    measured: String,
    passed: bool,
}

/// The machine-readable summary.
#[derive(Serialize)]
struct JsonSummary {
    /// The calls that the limits allowed: the sum of the next three fields.
    calls: u64,
    succeeded_first: u64,
    succeeded_after_retry: u64,
    failed: u64,
    limited: u64,
    alerts_fired: usize,
    notifications_delivered: usize,
    reload_ms: Option<u64>,
    invalid_rule_rejected: bool,
}

/// The results of the demo.
pub struct Report {
    checks: Vec<Check>,
    counts: [CallCounts; 2],
    summary: JsonSummary,
    retry_policy_evaluations: Vec<(String, u64)>,
}

impl Report {
    /// Evaluates the checks. `counts` are those of taobao and pdd, `arrivals` those of taobao.
    pub fn new(
        limit: RateBound,
        arrivals: &[u64],
        counts: [CallCounts; 2],
        observations: Observations,
        stats: DemoStats,
    ) -> Self {
        let DemoStats { alerts_fired, notifications_delivered, retry_policy_evaluations } = stats;
        let sum = |count: fn(&CallCounts) -> u64| counts.iter().map(count).sum();
        let summary = JsonSummary {
            calls: sum(CallCounts::sent),
            succeeded_first: sum(|counts| counts.first_attempt),
            succeeded_after_retry: sum(|counts| counts.after_retry),
            failed: sum(|counts| counts.failed),
            limited: sum(|counts| counts.limited),
            alerts_fired,
            notifications_delivered,
            reload_ms: observations.reload_ms.as_ref().ok().copied(),
            invalid_rule_rejected: observations.rejection.is_ok(),
        };
        let checks = vec![
            first_attempt_check(&summary),
            after_retry_check(&summary),
            upper_bound_check(limit, arrivals),
            lower_bound_check(limit, arrivals, &counts[0]),
            step_check("the alert fires and reaches both channels", &observations.alert_fired, |()| {
                format!("{alerts_fired} alerts fired, {notifications_delivered} notifications delivered")
            }),
            step_check("an edited rule becomes active without a restart", &observations.reload_ms, |reload_ms| {
                format!("{reload_ms} ms after the save")
            }),
            step_check(
                "an invalid rule is rejected; the old rule stays active",
                &observations.rejection,
                String::clone,
            ),
        ];
        Self { checks, counts, summary, retry_policy_evaluations }
    }

    /// Prints the table, the checks and the JSON summary. Returns whether all checks passed.
    pub fn print(&self) -> Result<bool, String> {
        println!(
            "\n{:8} {:>6} {:>14} {:>14} {:>7} {:>8}",
            "platform", "sent", "first attempt", "after retries", "failed", "limited"
        );
        for (name, counts) in ["taobao", "pdd"].iter().zip(&self.counts) {
            let CallCounts { first_attempt, after_retry, failed, limited, .. } = counts;
            println!("{name:8} {:>6} {first_attempt:>14} {after_retry:>14} {failed:>7} {limited:>8}", counts.sent());
        }
        let evaluations: Vec<_> =
            self.retry_policy_evaluations.iter().map(|(path, count)| format!("{path} {count}")).collect();
        println!("evaluations by retry policy: {}", evaluations.join(", "));
        let headers = self.counts[0].limit_headers.as_deref().unwrap_or("none, the limit refused no call");
        println!("headers of a limited call: {headers}\n");
        for Check { name, measured, passed } in &self.checks {
            println!("{}  {name:<54}  {measured}", if *passed { "passed" } else { "FAILED" });
        }
        println!("\n{}", serde_json::to_string(&self.summary).map_err(|error| error.to_string())?);
        Ok(self.checks.iter().all(|check| check.passed))
    }
}

fn percentage(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole as f64
}

fn first_attempt_check(summary: &JsonSummary) -> Check {
    let share = percentage(summary.succeeded_first, summary.calls);
    let passed = (75.0..85.0).contains(&share);
    Check { name: "about 80 % of calls succeed at the first attempt", measured: format!("{share:.1} %"), passed }
}

fn after_retry_check(summary: &JsonSummary) -> Check {
    let share = percentage(summary.succeeded_first + summary.succeeded_after_retry, summary.calls);
    Check {
        name: "more than 95 % of calls succeed after retries",
        measured: format!("{share:.1} %"),
        passed: share > 95.0,
    }
}

fn upper_bound_check(limit: RateBound, arrivals: &[u64]) -> Check {
    let tightest = limit.tightest_window(arrivals);
    let measured = tightest.map_or("no call reached the platform".to_owned(), |window| {
        let (calls, length) = (window.calls, window.length.as_secs_f64());
        let allowed = limit.burst as f64 + limit.per_second as f64 * length;
        let jitter_ms = JITTER.as_millis();
        format!("tightest: {calls} calls in {length:.3} s, {allowed:.1} allowed (± {jitter_ms} ms of jitter)")
    });
    let passed = tightest.is_some_and(|window| window.slack >= 0);
    Check { name: "every window has at most burst + rate × window calls", measured, passed }
}

fn lower_bound_check(limit: RateBound, arrivals: &[u64], counts: &CallCounts) -> Check {
    let utilization = counts.saturated_us.map(|(from_us, to_us)| {
        let length = Duration::from_micros(to_us.saturating_sub(from_us)).as_secs_f64();
        (limit.utilization(arrivals, from_us, to_us), length)
    });
    let measured = utilization.map_or("the limit refused no call".to_owned(), |(utilization, length)| {
        format!("{:.1} % over the {length:.1} s in which calls were refused", 100.0 * utilization)
    });
    let passed = utilization.is_some_and(|(utilization, _)| utilization >= 0.98);
    Check { name: "under saturation at least 98 % of the rate is used", measured, passed }
}

fn step_check<T>(name: &'static str, result: &Result<T, String>, describe: impl FnOnce(&T) -> String) -> Check {
    Check { name, measured: result.as_ref().map_or_else(String::clone, describe), passed: result.is_ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: RateBound = RateBound { per_second: 10, burst: 5 };

    /// Returns the failed checks of a run with 1,000 allowed calls: `first_attempt` of them succeed at the first
    /// attempt and `in_total` after retries. A call arrives every `gap_us`, and the limit refuses calls for 10 s.
    fn failed_checks(
        first_attempt: u64,
        in_total: u64,
        gap_us: u64,
        rejection: Result<String, String>,
    ) -> Vec<&'static str> {
        let taobao = CallCounts {
            first_attempt,
            after_retry: in_total - first_attempt,
            failed: 1_000 - in_total,
            saturated_us: Some((0, 10_000_000)),
            ..CallCounts::default()
        };
        let arrivals: Vec<u64> = (0..200).map(|n| n * gap_us).collect();
        let observations = Observations { alert_fired: Ok(()), reload_ms: Ok(100), rejection };
        let stats = DemoStats { alerts_fired: 1, notifications_delivered: 2, retry_policy_evaluations: Vec::new() };
        let report = Report::new(LIMIT, &arrivals, [taobao, CallCounts::default()], observations, stats);
        report.checks.iter().filter(|check| !check.passed).map(|check| check.name).collect()
    }

    #[test]
    fn each_check_fails_only_for_its_own_condition() {
        let rejected = || Ok("alerts.toml:1:1".to_owned());
        let rows = [
            (failed_checks(800, 951, 100_000, rejected()), ""),
            (failed_checks(749, 951, 100_000, rejected()), "first attempt"),
            (failed_checks(850, 951, 100_000, rejected()), "first attempt"),
            (failed_checks(800, 950, 100_000, rejected()), "after retries"),
            (failed_checks(800, 951, 95_000, rejected()), "every window"),
            (failed_checks(800, 951, 103_000, rejected()), ""),
            (failed_checks(800, 951, 104_000, rejected()), "at least 98 %"),
            (failed_checks(800, 951, 100_000, Err("not rejected".to_owned())), "the old rule stays active"),
        ];
        for (failed, expected) in rows {
            let as_expected = if expected.is_empty() { failed.is_empty() } else { failed.len() == 1 };
            assert!(as_expected && failed.iter().all(|name| name.contains(expected)), "{expected}: {failed:?}");
        }
    }
}
