//! Alert conditions: a snapshot in, quiet or firing out.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{AlertPolicy, AlertVerdict, Fault, Snapshot, Stats, View};

use super::bindings::alert::Alert;
use super::bindings::alert::tidegate::policy::alert_types as wit;
use super::bindings::v0_1;
use super::guest::Guests;
use super::{MAX_TEXT, cut, imports};

/// An instance of a condition, by the version of its contract.
pub enum AlertGuest {
    /// 0.2.0
    Current(Alert),
    /// 0.1.0
    V0_1(v0_1::alert::Alert),
}

/// An alert condition that runs as Wasm.
pub struct WasmAlert {
    /// Its instances.
    pub guests: Guests<AlertGuest>,
}

impl AlertPolicy for WasmAlert {
    fn evaluate(&self, snapshot: &Snapshot, view: &Arc<dyn View>) -> Result<AlertVerdict, Fault> {
        self.evaluate_within(None, snapshot, view)
    }
}

impl WasmAlert {
    /// Asks about an ordinary snapshot, within a deadline of its own.
    pub fn check(&self, deadline: Duration, view: &Arc<dyn View>) -> Result<AlertVerdict, Fault> {
        self.evaluate_within(Some(deadline), &sample(), view)
    }

    fn evaluate_within(
        &self,
        deadline: Option<Duration>,
        snapshot: &Snapshot,
        view: &Arc<dyn View>,
    ) -> Result<AlertVerdict, Fault> {
        self.guests.call(deadline, |store, guest| {
            store.data_mut().call.begin(view, &snapshot.platform, snapshot.endpoint.as_deref());
            match guest {
                AlertGuest::Current(guest) => guest.call_evaluate(store, outbound(snapshot)).map(inbound),
                AlertGuest::V0_1(guest) => super::v0_1::evaluate(guest, store, snapshot),
            }
        })
    }
}

/// A minute such as every platform has.
fn sample() -> Snapshot {
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

fn outbound(snapshot: &Snapshot) -> wit::Snapshot<'_> {
    wit::Snapshot {
        platform: &snapshot.platform,
        endpoint: snapshot.endpoint.as_deref(),
        stats: imports::outbound(&snapshot.stats),
    }
}

fn inbound(verdict: wit::Verdict) -> AlertVerdict {
    match verdict {
        wit::Verdict::Quiet => AlertVerdict::Quiet,
        wit::Verdict::Firing(detail) => AlertVerdict::Firing { detail: detail.map(|detail| cut(detail, MAX_TEXT)) },
    }
}
