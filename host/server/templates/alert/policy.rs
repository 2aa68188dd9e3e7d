//! The alert condition {{name}}.
//!
//! To use it, set `policy = "alerts/{{name}}.wasm"` in a rule of alerts.toml. The condition ignores windows with few
//! calls, and short bursts of errors that the last hour does not show.

use std::time::Duration;

use tidegate_sdk::{AlertPolicy, AlertVerdict, Snapshot, Stats, window};

/// The alert condition {{name}}.
pub struct Policy;

const HOUR: Duration = Duration::from_secs(3_600);

impl AlertPolicy for Policy {
    fn evaluate(snapshot: Snapshot) -> AlertVerdict {
        evaluate(&snapshot.stats, || window(HOUR))
    }
}

/// Evaluates the condition without calling the host, so that a test can supply the statistics of the last hour.
fn evaluate(now: &Stats, hour: impl FnOnce() -> Stats) -> AlertVerdict {
    if now.count >= 20 && now.error_rate > 0.1 && hour().error_rate > 0.1 {
        AlertVerdict::firing("more than 10 % of the calls fail, now and over the last hour")
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
    fn fires_only_with_enough_calls_and_a_high_hourly_error_rate() {
        let rows = [(20, 0.2, 0.15, true), (19, 0.2, 0.15, false), (200, 0.9, 0.02, false), (200, 0.1, 0.5, false)];
        for (count, now, hour, fires) in rows {
            let verdict = evaluate(&stats(count, now), || stats(500, hour));
            assert_eq!(matches!(verdict, AlertVerdict::Firing(_)), fires, "{count} calls, now {now}, hour {hour}");
        }
    }
}
