//! Alert conditions: a snapshot in, quiet or firing out.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tidegate_core::{AlertPolicy, AlertVerdict, Fault, FaultKind, Snapshot, Stats, Windows};
use wasmtime::Trap;

use super::bindings::alert::Alert;
use super::bindings::alert::tidegate::policy::{alert_types as wit, metrics};
use super::cut;
use super::guest::{Guests, State};

/// A question about a range, with the way its answer takes back.
type Question = (Duration, mpsc::Sender<Stats>);

/// Where a guest's questions about other ranges go.
pub type Line = mpsc::Sender<Question>;

/// An alert condition that runs as Wasm.
pub struct WasmAlert {
    /// Its instances.
    pub guests: Guests<Alert>,
    /// How long one verdict may take.
    pub deadline: Duration,
}

impl AlertPolicy for WasmAlert {
    fn evaluate(&self, snapshot: &Snapshot, windows: &dyn Windows) -> Result<AlertVerdict, Fault> {
        self.evaluate_within(self.deadline, snapshot, windows)
    }
}

impl WasmAlert {
    /// Asks about an ordinary snapshot, within a deadline of its own.
    pub fn check(&self, deadline: Duration) -> Result<AlertVerdict, Fault> {
        let snapshot = sample();
        self.evaluate_within(deadline, &snapshot, &|_| snapshot.stats.clone())
    }

    /// Runs a guest on a thread of its own and answers its questions on this one.
    ///
    /// A guest's store outlives the call and may hold nothing that it borrows, so the windows stay here and
    /// questions and answers cross over.
    fn evaluate_within(
        &self,
        deadline: Duration,
        snapshot: &Snapshot,
        windows: &dyn Windows,
    ) -> Result<AlertVerdict, Fault> {
        let (line, questions) = mpsc::channel::<Question>();
        let run = move || {
            self.guests.call(deadline, |store, guest| {
                store.data_mut().line = Some(line);
                guest.call_evaluate(store, &outbound(snapshot))
            })
        };
        let verdict = thread::scope(|scope| {
            let guest = thread::Builder::new()
                .name("tidegate-alert".to_owned())
                .spawn_scoped(scope, run)
                .map_err(|error| Fault::new(FaultKind::Trap, format!("no thread to evaluate it on: {error}")))?;
            for (range, answer) in questions {
                // A guest past its deadline has stopped listening.
                let _ = answer.send(windows.window(range));
            }
            guest.join().unwrap_or_else(|_| Err(Fault::new(FaultKind::Trap, "the thread that evaluated it panicked")))
        })?;
        Ok(match verdict {
            wit::Verdict::Quiet => AlertVerdict::Quiet,
            wit::Verdict::Firing(detail) => AlertVerdict::Firing { detail: detail.map(cut) },
        })
    }
}

impl wit::Host for State {}

impl metrics::Host for State {
    fn window(&mut self, range_ms: u64) -> wasmtime::Result<wit::Stats> {
        let (answer, answered) = mpsc::channel();
        let asked = self.line.as_ref().map(|line| line.send((Duration::from_millis(range_ms), answer)));
        match (asked, answered.recv()) {
            (Some(Ok(())), Ok(stats)) => Ok(figures(&stats)),
            // Nobody answers a guest that asks while it is being made.
            _ => Err(Trap::CannotLeaveComponent.into()),
        }
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

fn outbound(snapshot: &Snapshot) -> wit::Snapshot {
    wit::Snapshot {
        platform: snapshot.platform.clone(),
        endpoint: snapshot.endpoint.clone(),
        stats: figures(&snapshot.stats),
    }
}

fn figures(stats: &Stats) -> wit::Stats {
    wit::Stats {
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
