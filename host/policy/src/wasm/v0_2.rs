//! Contract 0.2.0. Its guests cannot read the platform's response.

use tidegate_core::clock::millis;
use tidegate_core::config::Settings;
use tidegate_core::{Admission, AlertVerdict, Failure, Request, Snapshot, Verdict};
use tracing::Level;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Result, Store};

use super::bindings::v0_2::admit::{Admit, AdmitPre};
use super::bindings::v0_2::alert::{Alert, AlertPre};
use super::bindings::v0_2::retry::{Retry, RetryPre};
use super::bindings::v0_2::shared::{limits, log, metrics};
use super::bindings::v0_3::shared::figures;
use super::contract::{ContractVersion, Guest, bind};
use super::state::GuestState;
use super::v0_3;

/// Contract 0.2.0.
pub const VERSION: ContractVersion = ContractVersion {
    name: "0.2.0",
    has_settings: true,
    retry: bind!(RetryPre<GuestState>),
    alert: bind!(AlertPre<GuestState>),
    admit: bind!(AdmitPre<GuestState>),
    link,
};

fn link(linker: &mut Linker<GuestState>) -> Result<()> {
    log::add_to_linker::<GuestState, HasSelf<GuestState>>(linker, |state| state)?;
    metrics::add_to_linker::<GuestState, HasSelf<GuestState>>(linker, |state| state)?;
    limits::add_to_linker::<GuestState, HasSelf<GuestState>>(linker, |state| state)
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
        self.call.window(range_ms).map(|stats| v0_3::stats_to_wit(&stats))
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

impl Guest<Failure> for Retry {
    fn configure(&self, store: &mut Store<GuestState>, settings: &Settings) -> Result<std::result::Result<(), String>> {
        self.call_configure(store, &v0_3::settings_to_wit(settings))
    }

    fn decide(&self, store: &mut Store<GuestState>, failure: &Failure) -> Result<Verdict> {
        let headers = v0_3::header_pairs(&failure.headers);
        self.call_classify(store, v0_3::failure_to_wit(failure, &headers)).map(v0_3::verdict_from_wit)
    }
}

impl Guest<Snapshot> for Alert {
    fn configure(&self, store: &mut Store<GuestState>, settings: &Settings) -> Result<std::result::Result<(), String>> {
        self.call_configure(store, &v0_3::settings_to_wit(settings))
    }

    fn decide(&self, store: &mut Store<GuestState>, snapshot: &Snapshot) -> Result<AlertVerdict> {
        self.call_evaluate(store, v0_3::snapshot_to_wit(snapshot)).map(v0_3::alert_verdict_from_wit)
    }
}

impl Guest<Request> for Admit {
    fn configure(&self, store: &mut Store<GuestState>, settings: &Settings) -> Result<std::result::Result<(), String>> {
        self.call_configure(store, &v0_3::settings_to_wit(settings))
    }

    fn decide(&self, store: &mut Store<GuestState>, request: &Request) -> Result<Admission> {
        let (headers, labels) = (v0_3::header_pairs(&request.headers), v0_3::label_pairs(&request.labels));
        self.call_admit(store, v0_3::request_to_wit(request, &headers, &labels)).map(v0_3::admission_from_wit)
    }
}
