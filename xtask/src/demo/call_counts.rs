//! The outcomes of the calls of the demo.

/// The outcome of one call, as its client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    FirstAttempt,
    AfterRetry,
    Failed,
    Limited,
}

/// The number of calls with each outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallCounts {
    /// Calls that succeeded at the first attempt.
    pub first_attempt: u64,
    /// Calls that succeeded at a later attempt.
    pub after_retry: u64,
    /// Calls that did not succeed.
    pub failed: u64,
    /// Calls that the limit refused. They did not reach the platform.
    pub limited: u64,
    /// The time of the first refused call and of the last call, on the platform's clock. Between them, the demand
    /// exceeds the rate.
    pub saturated_us: Option<(u64, u64)>,
    /// The rate-limit headers of the first refused call.
    pub limit_headers: Option<String>,
}

impl CallCounts {
    /// Returns the number of calls that were sent, because the limit allowed them.
    pub fn sent(&self) -> u64 {
        self.first_attempt + self.after_retry + self.failed
    }

    /// Counts one call.
    pub fn add(&mut self, outcome: CallOutcome, now_us: u64) {
        *match outcome {
            CallOutcome::FirstAttempt => &mut self.first_attempt,
            CallOutcome::AfterRetry => &mut self.after_retry,
            CallOutcome::Failed => &mut self.failed,
            CallOutcome::Limited => &mut self.limited,
        } += 1;
        if outcome == CallOutcome::Limited {
            self.saturated_us.get_or_insert((now_us, now_us));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saturation_starts_with_the_first_refused_call() {
        let mut counts = CallCounts::default();
        let outcomes = [
            CallOutcome::FirstAttempt,
            CallOutcome::Limited,
            CallOutcome::AfterRetry,
            CallOutcome::Limited,
            CallOutcome::Failed,
        ];
        (0..).zip(outcomes).for_each(|(now_us, outcome)| counts.add(outcome, now_us));
        assert_eq!((counts.sent(), counts.limited, counts.saturated_us), (3, 2, Some((1, 1))));
    }
}
