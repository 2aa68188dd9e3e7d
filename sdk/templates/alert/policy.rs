//! Whether {{name}} is on fire.
//!
//! A rule of alerts.toml asks it: `policy = "alerts/{{name}}.wasm"`. A few calls prove nothing, and a burst of errors that
//! the last hour does not show is over before anyone looks.

use std::time::Duration;

use tidegate_sdk::{Alert, AlertVerdict, Snapshot, Stats, window};

/// The condition {{name}}.
pub struct Policy;

const HOUR: Duration = Duration::from_secs(3_600);

impl Alert for Policy {
    fn evaluate(snapshot: Snapshot) -> AlertVerdict {
        judge(&snapshot.stats, || window(HOUR))
    }
}

/// Apart from the host, so that tests can say what the hour was like.
fn judge(now: &Stats, hour: impl FnOnce() -> Stats) -> AlertVerdict {
    if now.count >= 20 && now.error_rate > 0.1 && hour().error_rate > 0.1 {
        AlertVerdict::firing("more than a tenth of the calls fail, now and over the last hour")
    } else {
        AlertVerdict::Quiet
    }
}

tidegate_sdk::export_alert!(Policy);

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(count: u64, error_rate: f64) -> Stats {
        Stats { count, error_rate, ..Stats::default() }
    }

    #[test]
    fn it_takes_enough_calls_and_a_bad_hour() {
        let rows = [(20, 0.2, 0.15, true), (19, 0.2, 0.15, false), (200, 0.9, 0.02, false), (200, 0.1, 0.5, false)];
        for (count, now, hour, fires) in rows {
            let verdict = judge(&stats(count, now), || stats(500, hour));
            assert_eq!(matches!(verdict, AlertVerdict::Firing(_)), fires, "{count} calls, {now} now, {hour} in the hour");
        }
    }
}
