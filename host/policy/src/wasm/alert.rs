//! Wasm alert conditions. They receive a snapshot and return whether the alert fires.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{AlertPolicy, AlertVerdict, Fault, HostView, Snapshot, Stats};

use super::bindings::alert::Alert;
use super::bindings::alert::tidegate::policy::alert_types as wit;
use super::bindings::v0_1;
use super::guest::Guests;
use super::{MAX_TEXT_SIZE, cut, imports};

/// An instance of a condition, by the version of the contract.
pub enum AlertGuest {
    /// Contract 0.2.0.
    Current(Alert),
    /// Contract 0.1.0.
    V0_1(v0_1::alert::Alert),
}

/// An alert condition that is a Wasm component.
pub struct WasmAlert {
    /// The instances of the component.
    pub guests: Guests<AlertGuest>,
}

impl AlertPolicy for WasmAlert {
    fn evaluate(&self, snapshot: &Snapshot, view: &Arc<dyn HostView>) -> Result<AlertVerdict, Fault> {
        self.evaluate_within(None, snapshot, view)
    }
}

impl WasmAlert {
    /// Evaluates the condition for a typical snapshot, within this deadline.
    pub fn check(&self, deadline: Duration, view: &Arc<dyn HostView>) -> Result<AlertVerdict, Fault> {
        self.evaluate_within(Some(deadline), &sample_snapshot(), view)
    }

    fn evaluate_within(
        &self,
        deadline: Option<Duration>,
        snapshot: &Snapshot,
        view: &Arc<dyn HostView>,
    ) -> Result<AlertVerdict, Fault> {
        self.guests.call(deadline, |store, guest| {
            store.data_mut().call.begin(view, &snapshot.platform, snapshot.endpoint.as_deref());
            match guest {
                AlertGuest::Current(guest) => {
                    guest.call_evaluate(store, snapshot_to_wit(snapshot)).map(verdict_from_wit)
                }
                AlertGuest::V0_1(guest) => super::v0_1::evaluate(guest, store, snapshot),
            }
        })
    }
}

/// Returns the statistics of a typical minute.
fn sample_snapshot() -> Snapshot {
    let stats = Stats {
        count: 100,
        success: 95,
        errors: 5,
        total_ms: 12_000.0,
        error_rate: 0.05,
        success_rate: 0.95,
        rps: 100.0 / 60.0,
        p50: 100.0,
        p95: 300.0,
        p99: 900.0,
        from_ms: 1_700_000_000_000,
        to_ms: 1_700_000_060_000,
        ..Stats::default()
    };
    Snapshot { platform: "sample".to_owned(), endpoint: None, stats }
}

fn snapshot_to_wit(snapshot: &Snapshot) -> wit::Snapshot<'_> {
    wit::Snapshot {
        platform: &snapshot.platform,
        endpoint: snapshot.endpoint.as_deref(),
        stats: imports::stats_to_wit(&snapshot.stats),
    }
}

fn verdict_from_wit(verdict: wit::Verdict) -> AlertVerdict {
    match verdict {
        wit::Verdict::Quiet => AlertVerdict::Quiet,
        wit::Verdict::Firing(detail) => {
            AlertVerdict::Firing { detail: detail.map(|detail| cut(detail, MAX_TEXT_SIZE)) }
        }
    }
}
