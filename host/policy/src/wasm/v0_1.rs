//! Runs guests of contract 0.1.0. Fields that this contract does not have are omitted.

use tidegate_core::{Action, AlertVerdict, Class, Failure, FailureKind, Snapshot, Stats, Verdict};
use wasmtime::{Result, Store};

use super::bindings::v0_1::alert::Alert;
use super::bindings::v0_1::alert::tidegate::policy::alert_types as alert;
use super::bindings::v0_1::retry::Retry;
use super::bindings::v0_1::retry::tidegate::policy::retry_types as retry;
use super::guest::GuestState;
use super::{MAX_TEXT_SIZE, cut};

/// Evaluates a retry policy.
pub fn classify(
    guest: &Retry,
    store: &mut Store<GuestState>,
    failure: &Failure,
    headers: &[(&str, &str)],
) -> Result<Verdict> {
    let input = retry::Failure {
        platform: &failure.platform,
        endpoint: &failure.endpoint,
        kind: match failure.kind {
            FailureKind::Timeout => retry::FailureKind::Timeout,
            FailureKind::Connection => retry::FailureKind::Connection,
            FailureKind::Response => retry::FailureKind::Response,
        },
        attempt: failure.attempt,
        elapsed_ms: failure.elapsed_ms,
        status: failure.status,
        code: failure.code.as_deref(),
        sub_code: failure.sub_code.as_deref(),
        message: failure.message.as_deref(),
        headers,
        retry_after_ms: failure.retry_after_ms,
    };
    let verdict = guest.call_classify(store, input)?;
    let action = match verdict.action {
        retry::Action::Retry => Action::Retry,
        retry::Action::GiveUp => Action::GiveUp,
        retry::Action::Default => Action::Default,
    };
    let class = verdict.class.map(|class| match class {
        retry::Class::Throttled => Class::Throttled,
        retry::Class::Quota => Class::Quota,
        retry::Class::Transient => Class::Transient,
        retry::Class::Auth => Class::Auth,
        retry::Class::Permanent => Class::Permanent,
    });
    let reason = verdict.reason.map(|reason| cut(reason, MAX_TEXT_SIZE));
    Ok(Verdict { action, class, after_ms: verdict.after_ms, reason })
}

/// Evaluates a condition.
pub fn evaluate(guest: &Alert, store: &mut Store<GuestState>, snapshot: &Snapshot) -> Result<AlertVerdict> {
    let input = alert::Snapshot {
        platform: &snapshot.platform,
        endpoint: snapshot.endpoint.as_deref(),
        stats: stats_to_wit(&snapshot.stats),
    };
    Ok(match guest.call_evaluate(store, input)? {
        alert::Verdict::Quiet => AlertVerdict::Quiet,
        alert::Verdict::Firing(detail) => {
            AlertVerdict::Firing { detail: detail.map(|detail| cut(detail, MAX_TEXT_SIZE)) }
        }
    })
}

/// Converts statistics to the type of contract 0.1.0.
pub fn stats_to_wit(stats: &Stats) -> alert::Stats {
    alert::Stats {
        count: stats.count,
        success: stats.success,
        errors: stats.errors,
        limited: stats.limited,
        total_ms: stats.total_ms,
        error_rate: stats.error_rate,
        success_rate: stats.success_rate,
        limited_rate: stats.limited_rate,
        rps: stats.rps,
        p50: stats.p50,
        p95: stats.p95,
        p99: stats.p99,
        from_ms: stats.from_ms,
        to_ms: stats.to_ms,
    }
}
