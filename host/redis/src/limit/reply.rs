//! What the limit's script answers, as numbers with names.

use std::time::Duration;

use redis::Value;
use tidegate_core::{Quota, Rate, Receipt, StoreError, Timestamp};

/// What a flight says of the bucket.
#[derive(Clone, Debug)]
pub struct Head {
    /// When the bucket was made; another one has forgotten who waited for the first.
    pub born: u64,
    /// The quota in force.
    pub quota: Quota,
    /// Whole tokens; below zero where calls wait for them.
    pub level: i64,
    /// How long until it is full.
    pub full_in: Duration,
    /// Its time.
    pub mark: Timestamp,
}

/// What a flight says to one operation, and how the bucket was after it.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    pub answered: Answered,
    /// The level in units.
    pub level: i64,
    /// Units that had been given back by then.
    pub returned: i64,
    /// Changes by then.
    pub epoch: u64,
}

impl Answer {
    /// What a reservation of `cost` that was answered so can be given back with.
    pub fn receipt(&self, head: &Head, cost: u64) -> Receipt {
        let (level, returned, epoch) = (self.level.into(), self.returned.into(), self.epoch);
        Receipt { origin: 0, number: 0, cost, at: head.mark, level, returned, epoch }
    }
}

/// The answer itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// Done, or granted: how long until the slot comes, and tokens left.
    Done { wait: Duration, remaining: u64 },
    /// Refused: how long until it fits.
    Limited { retry_after: Duration },
    /// Above the burst.
    Never { max: u64 },
}

/// A whole answer.
pub struct Reply {
    pub head: Head,
    pub answers: Vec<Answer>,
}

/// A quota as the script reads it.
pub fn quota_text(quota: Quota) -> String {
    let (rate, period_us) = (quota.rate(), quota.rate().period().as_micros());
    let (flow, token) = (quota.units_per_us(), quota.units_per_token());
    format!("{} {period_us} {} {flow} {token}", rate.tokens(), quota.burst())
}

/// Reads the script's answer.
pub fn read(value: &Value) -> Result<Reply, StoreError> {
    let text = match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text.as_str()),
        _ => None,
    };
    let strange = || StoreError::refused("the limit's script answered what this version does not read");
    let numbers: Option<Vec<i64>> = text.and_then(|text| text.split(' ').map(|one| one.parse().ok()).collect());
    let numbers = numbers.ok_or_else(strange)?;
    let (head, rest) = numbers.split_first_chunk::<9>().ok_or_else(strange)?;
    let answers = rest.chunks_exact(6).map(answer).collect();
    Ok(Reply { head: self::head(*head).ok_or_else(strange)?, answers })
}

fn head([born, tokens, period_us, burst, _, _, level, full_in_us, mark_us]: [i64; 9]) -> Option<Head> {
    let whole = |number: i64| u64::try_from(number).ok();
    let rate = Rate::new(whole(tokens)?, Duration::from_micros(whole(period_us)?)).ok()?;
    let quota = Quota::new(rate, whole(burst)?).ok()?;
    let (full_in, mark) = (Duration::from_micros(whole(full_in_us)?), Timestamp::from_micros(whole(mark_us)?));
    Some(Head { born: whole(born)?, quota, level, full_in, mark })
}

fn answer(six: &[i64]) -> Answer {
    let epoch = u64::try_from(six[5]).unwrap_or(0);
    Answer { answered: answered(six[0], six[1], six[2]), level: six[3], returned: six[4], epoch }
}

fn answered(kind: i64, a: i64, b: i64) -> Answered {
    let whole = |number: i64| u64::try_from(number).unwrap_or(0);
    match kind {
        1 => Answered::Done { wait: Duration::from_micros(whole(a)), remaining: whole(b) },
        0 => Answered::Limited { retry_after: Duration::from_micros(whole(a)) },
        _ => Answered::Never { max: whole(a) },
    }
}
