//! Contract 0.3.0, the current one: converts inputs and verdicts, and provides the host functions.

use std::collections::BTreeMap;

use tidegate_core::clock::millis;
use tidegate_core::config::{Setting, Settings};
use tidegate_core::{Action, Admission, AlertVerdict, Class, Failure, FailureKind, Request, Snapshot, Stats, Verdict};
use tracing::Level;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Result, Store};

use super::bindings::v0_3::admit::tidegate::policy::admit_types as admit;
use super::bindings::v0_3::alert::tidegate::policy::alert_types as alert;
use super::bindings::v0_3::retry::{RetryWithResponse, RetryWithResponsePre};
use super::bindings::v0_3::shared::{figures, limits, log, metrics, response, retry_types as retry, settings_types};
use super::bindings::v0_3::{admit::Admit, admit::AdmitPre, alert::Alert, alert::AlertPre};
use super::contract::{ContractVersion, Guest, bind};
use super::state::GuestState;
use super::text::cut;

/// Contract 0.3.0.
pub const VERSION: ContractVersion = ContractVersion {
    name: "0.3.0",
    has_settings: true,
    retry: bind!(RetryWithResponsePre<GuestState>),
    alert: bind!(AlertPre<GuestState>),
    admit: bind!(AdmitPre<GuestState>),
    link,
};

fn link(linker: &mut Linker<GuestState>) -> Result<()> {
    log::add_to_linker::<GuestState, HasSelf<GuestState>>(linker, |state| state)?;
    metrics::add_to_linker::<GuestState, HasSelf<GuestState>>(linker, |state| state)?;
    limits::add_to_linker::<GuestState, HasSelf<GuestState>>(linker, |state| state)?;
    response::add_to_linker::<GuestState, HasSelf<GuestState>>(linker, |state| state)
}

impl log::Host for GuestState {
    fn log(&mut self, level: log::Level, text: String) -> Result<()> {
        let level = match level {
            log::Level::Debug => Level::DEBUG,
            log::Level::Info => Level::INFO,
            log::Level::Warn => Level::WARN,
        };
        self.call.log(level, text);
        Ok(())
    }
}

impl metrics::Host for GuestState {
    fn window(&mut self, range_ms: u64) -> Result<figures::Stats> {
        self.call.window(range_ms).map(|stats| stats_to_wit(&stats))
    }
}

impl limits::Host for GuestState {
    fn limit(&mut self, name: String) -> Result<Option<limits::State>> {
        let state = self.call.limit(&name)?;
        Ok(state.map(|state| limits::State {
            available: state.available,
            burst: state.burst,
            rate: state.rate.tokens_per_second(),
            full_in_ms: millis(state.full_in),
        }))
    }
}

impl response::Host for GuestState {
    fn body(&mut self) -> Result<Option<String>> {
        self.call.body()
    }
}

impl settings_types::Host for GuestState {}
impl retry::Host for GuestState {}
impl figures::Host for GuestState {}
impl alert::Host for GuestState {}
impl admit::Host for GuestState {}

impl Guest<Failure> for RetryWithResponse {
    fn configure(&self, store: &mut Store<GuestState>, settings: &Settings) -> Result<std::result::Result<(), String>> {
        self.call_configure(store, &settings_to_wit(settings))
    }

    fn decide(&self, store: &mut Store<GuestState>, failure: &Failure) -> Result<Verdict> {
        self.call_classify(store, failure_to_wit(failure, &header_pairs(&failure.headers))).map(verdict_from_wit)
    }
}

impl Guest<Snapshot> for Alert {
    fn configure(&self, store: &mut Store<GuestState>, settings: &Settings) -> Result<std::result::Result<(), String>> {
        self.call_configure(store, &settings_to_wit(settings))
    }

    fn decide(&self, store: &mut Store<GuestState>, snapshot: &Snapshot) -> Result<AlertVerdict> {
        self.call_evaluate(store, snapshot_to_wit(snapshot)).map(alert_verdict_from_wit)
    }
}

impl Guest<Request> for Admit {
    fn configure(&self, store: &mut Store<GuestState>, settings: &Settings) -> Result<std::result::Result<(), String>> {
        self.call_configure(store, &settings_to_wit(settings))
    }

    fn decide(&self, store: &mut Store<GuestState>, request: &Request) -> Result<Admission> {
        let (headers, labels) = (header_pairs(&request.headers), label_pairs(&request.labels));
        self.call_admit(store, request_to_wit(request, &headers, &labels)).map(admission_from_wit)
    }
}

/// Returns headers as references.
pub fn header_pairs(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Returns labels as references.
pub fn label_pairs(labels: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

pub fn settings_to_wit(settings: &Settings) -> Vec<(&str, settings_types::Setting<'_>)> {
    let value = |setting| match setting {
        &Setting::Flag(flag) => settings_types::Setting::Flag(flag),
        &Setting::Number(number) => settings_types::Setting::Number(number),
        Setting::Text(text) => settings_types::Setting::Text(text),
    };
    settings.iter().map(|(name, setting)| (name.as_str(), value(setting))).collect()
}

pub fn failure_to_wit<'a>(failure: &'a Failure, headers: &'a [(&'a str, &'a str)]) -> retry::Failure<'a> {
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
        at_ms: failure.at_ms,
        status: failure.status,
        code: failure.code.as_deref(),
        sub_code: failure.sub_code.as_deref(),
        message: failure.message.as_deref(),
        headers,
        retry_after_ms: failure.retry_after_ms,
    }
}

pub fn verdict_from_wit(verdict: retry::Verdict) -> Verdict {
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
    converted
}

pub fn snapshot_to_wit(snapshot: &Snapshot) -> alert::Snapshot<'_> {
    alert::Snapshot {
        platform: &snapshot.platform,
        endpoint: snapshot.endpoint.as_deref(),
        stats: stats_to_wit(&snapshot.stats),
    }
}

pub fn stats_to_wit(stats: &Stats) -> figures::Stats {
    figures::Stats {
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

pub fn alert_verdict_from_wit(verdict: alert::Verdict) -> AlertVerdict {
    match verdict {
        alert::Verdict::Quiet => AlertVerdict::Quiet,
        alert::Verdict::Firing(detail) => AlertVerdict::Firing { detail: detail.map(cut) },
    }
}

pub fn request_to_wit<'a>(
    request: &'a Request,
    headers: &'a [(&'a str, &'a str)],
    labels: &'a [(&'a str, &'a str)],
) -> admit::Request<'a> {
    admit::Request {
        platform: &request.platform,
        endpoint: &request.endpoint,
        method: &request.method,
        at_ms: request.at_ms,
        headers,
        labels,
    }
}

pub fn admission_from_wit(verdict: admit::Verdict) -> Admission {
    match verdict {
        admit::Verdict::Default => Admission::Default,
        admit::Verdict::Allow(admit::Allowance { cost, scope }) => {
            Admission::Allow { cost, scope: scope.into_iter().collect() }
        }
        admit::Verdict::Deny(admit::Denial { reason, status }) => Admission::Deny { reason: cut(reason), status },
    }
}
