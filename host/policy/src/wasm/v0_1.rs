//! Contract 0.1.0. Its guests have no settings and no admission policies; a retry policy reads nothing but its input,
//! and that has no time.

use tidegate_core::config::Settings;
use tidegate_core::{Action, AlertVerdict, Class, Failure, FailureKind, Snapshot, Stats, Verdict};
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Result, Store};

use super::bindings::v0_1::alert::tidegate::policy::{alert_types as alert, metrics};
use super::bindings::v0_1::alert::{Alert, AlertPre};
use super::bindings::v0_1::retry::tidegate::policy::retry_types as retry;
use super::bindings::v0_1::retry::{Retry, RetryPre};
use super::contract::{ContractVersion, Guest, bind};
use super::state::GuestState;
use super::text::cut;
use super::v0_3::header_pairs;

/// Contract 0.1.0.
pub const VERSION: ContractVersion = ContractVersion {
    name: "0.1.0",
    has_settings: false,
    retry: bind!(RetryPre<GuestState>),
    alert: bind!(AlertPre<GuestState>),
    admit: None,
    link,
};

fn link(linker: &mut Linker<GuestState>) -> Result<()> {
    metrics::add_to_linker::<GuestState, HasSelf<GuestState>>(linker, |state| state)
}

impl metrics::Host for GuestState {
    fn window(&mut self, range_ms: u64) -> Result<alert::Stats> {
        self.call.window(range_ms).map(|stats| stats_to_wit(&stats))
    }
}

impl alert::Host for GuestState {}

impl Guest<Failure> for Retry {
    fn configure(&self, _: &mut Store<GuestState>, _: &Settings) -> Result<std::result::Result<(), String>> {
        Ok(Ok(()))
    }

    fn decide(&self, store: &mut Store<GuestState>, failure: &Failure) -> Result<Verdict> {
        let verdict = self.call_classify(store, failure_to_wit(failure, &header_pairs(&failure.headers)))?;
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
        let mut converted = Verdict::abstain();
        converted.action = action;
        converted.class = class;
        converted.after_ms = verdict.after_ms;
        converted.reason = verdict.reason.map(cut);
        Ok(converted)
    }
}

impl Guest<Snapshot> for Alert {
    fn configure(&self, _: &mut Store<GuestState>, _: &Settings) -> Result<std::result::Result<(), String>> {
        Ok(Ok(()))
    }

    fn decide(&self, store: &mut Store<GuestState>, snapshot: &Snapshot) -> Result<AlertVerdict> {
        let input = alert::Snapshot {
            platform: &snapshot.platform,
            endpoint: snapshot.endpoint.as_deref(),
            stats: stats_to_wit(&snapshot.stats),
        };
        Ok(match self.call_evaluate(store, input)? {
            alert::Verdict::Quiet => AlertVerdict::Quiet,
            alert::Verdict::Firing(detail) => AlertVerdict::Firing { detail: detail.map(cut) },
        })
    }
}

fn failure_to_wit<'a>(failure: &'a Failure, headers: &'a [(&'a str, &'a str)]) -> retry::Failure<'a> {
    retry::Failure {
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
    }
}

fn stats_to_wit(stats: &Stats) -> alert::Stats {
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
