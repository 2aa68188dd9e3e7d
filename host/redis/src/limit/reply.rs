//! Parses the reply of the limit script.

use std::time::Duration;

use redis::Value;
use tidegate_core::store::ReservationParts;
use tidegate_core::{Quota, Rate, StoreError, Timestamp};

use crate::codec::reply_text;

/// The state of the bucket after a batch.
#[derive(Clone, Debug)]
pub struct BucketState {
    /// The time at which the bucket was created, in microseconds. A bucket that was created again does not contain the
    /// waiting calls of the earlier one.
    pub created_at: u64,
    /// The active quota.
    pub quota: Quota,
    /// The whole tokens in the bucket; negative while calls wait for tokens.
    pub level: i64,
    /// How long until the bucket is full.
    pub full_in: Duration,
    /// The time of the bucket's last refill.
    pub updated_at: Timestamp,
}

/// The result of one operation, and the state of the bucket after it.
#[derive(Clone, Copy, Debug)]
pub struct OpReply {
    pub outcome: OpOutcome,
    /// The level in units.
    pub level: i64,
    /// The units that cancelled reservations have returned.
    pub returned: i64,
    /// The number of updates and resets.
    pub epoch: u64,
}

impl OpReply {
    /// Returns the parts of the id of a reservation of `cost` with this reply; the caller sets process_id and number.
    pub fn reservation_parts(&self, bucket: &BucketState, cost: u64) -> ReservationParts {
        let (level, returned, epoch) = (self.level.into(), self.returned.into(), self.epoch);
        ReservationParts { process_id: 0, number: 0, cost, at: bucket.updated_at, level, returned, epoch }
    }
}

/// The result of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpOutcome {
    /// Done or granted, with the time until the call may be sent and the tokens that are left.
    Done { wait: Duration, remaining: u64 },
    /// Refused, with the time until the same cost fits.
    Limited { retry_after: Duration },
    /// Refused because the cost is above the burst.
    Never { max: u64 },
}

/// The reply to a batch.
pub struct BatchReply {
    pub bucket: BucketState,
    /// One reply for each operation, in order.
    pub replies: Vec<OpReply>,
}

/// Formats a quota as an argument of the script.
pub fn format_quota(quota: Quota) -> String {
    let (rate, period_us) = (quota.rate(), quota.rate().period().as_micros());
    let (units_per_us, units_per_token) = (quota.units_per_us(), quota.units_per_token());
    format!("{} {period_us} {} {units_per_us} {units_per_token}", rate.tokens(), quota.burst())
}

/// Parses the reply of the script.
pub fn parse(reply: &Value) -> Result<BatchReply, StoreError> {
    let invalid = || StoreError::failed("unexpected reply to the limit script");
    let numbers = reply_text(reply)
        .and_then(|text| text.split(' ').map(|number| number.parse().ok()).collect::<Option<Vec<i64>>>())
        .ok_or_else(invalid)?;
    let (head, rest) = numbers.split_first_chunk::<9>().ok_or_else(invalid)?;
    let replies = rest.chunks_exact(6).map(parse_op_reply).collect();
    Ok(BatchReply { bucket: parse_bucket_state(*head).ok_or_else(invalid)?, replies })
}

fn parse_bucket_state(
    [created_at, tokens, period_us, burst, _, _, level, full_in_us, updated_at_us]: [i64; 9],
) -> Option<BucketState> {
    let unsigned = |number: i64| u64::try_from(number).ok();
    let rate = Rate::new(unsigned(tokens)?, Duration::from_micros(unsigned(period_us)?)).ok()?;
    let quota = Quota::new(rate, unsigned(burst)?).ok()?;
    let full_in = Duration::from_micros(unsigned(full_in_us)?);
    let updated_at = Timestamp::from_micros(unsigned(updated_at_us)?);
    Some(BucketState { created_at: unsigned(created_at)?, quota, level, full_in, updated_at })
}

fn parse_op_reply(numbers: &[i64]) -> OpReply {
    let epoch = u64::try_from(numbers[5]).unwrap_or(0);
    let outcome = parse_outcome(numbers[0], numbers[1], numbers[2]);
    OpReply { outcome, level: numbers[3], returned: numbers[4], epoch }
}

fn parse_outcome(code: i64, first: i64, second: i64) -> OpOutcome {
    let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
    match code {
        1 => OpOutcome::Done { wait: Duration::from_micros(unsigned(first)), remaining: unsigned(second) },
        0 => OpOutcome::Limited { retry_after: Duration::from_micros(unsigned(first)) },
        _ => OpOutcome::Never { max: unsigned(first) },
    }
}
