//! Property tests of the token bucket: it never admits more than its bound, and it does not waste tokens.

use std::time::Duration;

use proptest::prelude::*;
use tidegate_core::{Bucket, BucketReservation, Quota, Rate, Timestamp};

/// Generates quotas as (tokens, period in µs, burst).
pub fn quotas() -> impl Strategy<Value = (u64, u64, u64)> {
    let rates = prop_oneof![
        Just((1, 1_000_000)),
        Just((3, 1_000_000)),
        Just((350_000, 1_000_000)),
        Just((10_000, 60_000_000)),
        Just((7, 250_000)),
        Just((1, 60_000_000)),
        Just((5_000, 86_400_000_000)),
    ];
    (rates, 1u64..50).prop_map(|((tokens, period_us), burst)| (tokens, period_us, burst))
}

/// Raises the burst to more than 50 µs of tokens. A smaller burst can fill up and discard tokens between two readings
/// of a clock with a resolution of 1 µs.
fn with_min_burst((tokens, period_us, burst): (u64, u64, u64)) -> (u64, u64, u64) {
    (tokens, period_us, burst.max(50 * tokens / period_us + 1))
}

pub fn quota((tokens, period_us, burst): (u64, u64, u64)) -> Quota {
    Quota::new(Rate::new(tokens, Duration::from_micros(period_us)).unwrap(), burst).unwrap()
}

/// Returns the wait of a call with cost 0, which is the time until the end of the queue.
fn queue_wait(bucket: &mut Bucket, now: Timestamp) -> Duration {
    bucket.check(0, now).err().and_then(|refusal| refusal.retry_after()).unwrap_or_default()
}

/// Generates pauses from 0 to 100 times the time of one token, most of them short.
pub fn pauses(token_us: u64) -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0..=token_us.max(1), 0..=token_us.max(1) * 3, 0..=token_us.max(1) * 100]
}

/// Generates a quota and a list of (pause in µs, cost).
fn history() -> impl Strategy<Value = ((u64, u64, u64), Vec<(u64, u64)>)> {
    quotas().prop_flat_map(|quota| {
        let token_us = quota.1 / quota.0;
        (Just(quota), proptest::collection::vec((pauses(token_us), 0u64..=quota.2 + 1), 1..120))
    })
}

/// Asserts that every window that starts and ends with an admission contains at most burst + rate × window.
pub fn assert_bounded(admitted: &[(u64, u64)], slack_us: u64, (tokens, period_us, burst): (u64, u64, u64)) {
    for (index, (start, _)) in admitted.iter().enumerate() {
        let mut sum = 0u128;
        for (end, cost) in &admitted[index..] {
            sum += u128::from(*cost);
            let refilled = u128::from(end - start + slack_us) * u128::from(tokens);
            let allowed = u128::from(burst) * u128::from(period_us) + refilled;
            assert!(sum * u128::from(period_us) <= allowed, "{sum} admitted from {start} to {end} µs");
        }
    }
}

proptest! {
    /// Under saturation the bucket admits at least 98 % of the tokens, and never more than its bound.
    #[test]
    fn saturated_bucket_admits_the_full_rate(setting in quotas().prop_map(with_min_burst), seconds in 1u64..20) {
        let quota = quota(setting);
        let mut bucket = Bucket::full(quota, Timestamp::default());
        // Each token is requested in the microsecond in which it becomes available.
        let (mut now, mut admitted) = (Timestamp::default(), Vec::new());
        for _ in 0..seconds * 100 {
            match bucket.check(1, now) {
                Ok(_) => admitted.push((micros(now), 1)),
                Err(refusal) => now = now + refusal.retry_after().expect("a cost of 1 never exceeds the burst"),
            }
        }
        assert_bounded(&admitted, 0, setting);
        let (tokens, period_us, burst) = (u128::from(setting.0), u128::from(setting.1), u128::from(setting.2));
        let due = burst + u128::from(micros(now)) * tokens / period_us;
        prop_assert!(admitted.len() as u128 * 100 >= due * 98, "{} of {due}", admitted.len());
    }

    /// Reservations keep the bound and the order of arrival, even if some of them are cancelled while they wait.
    #[test]
    fn cancelled_waits_keep_the_bound_and_the_order(
        (setting, steps) in history(),
        cancellations in proptest::collection::vec((any::<bool>(), 0usize..200), 0..60),
    ) {
        let mut bucket = Bucket::full(quota(setting), Timestamp::default());
        let (mut now, mut send_times) = (Timestamp::default(), Vec::new());
        let mut waiting: Vec<(Timestamp, u64, tidegate_core::Ticket)> = Vec::new();
        let mut cancellations = cancellations.into_iter();
        for (pause, cost) in steps {
            now = now + Duration::from_micros(pause);
            // Calls whose scheduled time has passed were sent at that time, in order of arrival.
            let (due, later): (Vec<_>, Vec<_>) = waiting.drain(..).partition(|(send_at, ..)| *send_at <= now);
            send_times.extend(due.into_iter().map(|(send_at, cost, _)| (micros(send_at), cost)));
            waiting = later;
            let cost = cost.max(1);
            if let Ok(BucketReservation { ticket, wait, .. }) = bucket.reserve(cost, Duration::from_secs(100_000), now) {
                let send_at = now + wait;
                prop_assert_eq!(bucket.remaining_wait(&ticket, now), wait);
                prop_assert!(waiting.iter().all(|(earlier, ..)| *earlier <= send_at), "out of order");
                waiting.push((send_at, cost, ticket));
            }
            if let Some((true, index)) = cancellations.next() && !waiting.is_empty() {
                let (_, _, ticket) = waiting.remove(index % waiting.len());
                bucket.cancel_wait(&ticket, now);
            }
            // A cancellation can only make the scheduled times of the other calls earlier.
            for (send_at, _, ticket) in &mut waiting {
                let updated = now + bucket.remaining_wait(ticket, now);
                prop_assert!(updated <= *send_at, "{send_at:?} was postponed to {updated:?}");
                *send_at = updated;
            }
        }
        let last_waiting = waiting.iter().map(|(send_at, ..)| *send_at).max();
        let queue_end = now + queue_wait(&mut bucket, now);
        prop_assert!(last_waiting.is_none_or(|last| last <= queue_end), "the level does not include all waiting calls");
        prop_assert!(last_waiting.is_some() || bucket.level(now) >= 0, "tokens are reserved although no call waits");
        send_times.extend(waiting.into_iter().map(|(send_at, cost, _)| (micros(send_at), cost)));
        send_times.sort_unstable();
        // The exact time is between two microseconds and is rounded up to the second one.
        assert_bounded(&send_times, 1, setting);
    }

    /// The calls that are sent keep the bound, however many other calls reserve tokens and cancel their reservations.
    #[test]
    fn cancelled_reservations_admit_no_call_beyond_the_bound(
        (setting, steps) in history(),
        cancellations in proptest::collection::vec((any::<bool>(), 0usize..200), 0..120),
    ) {
        let mut bucket = Bucket::full(quota(setting), Timestamp::default());
        let (mut now, mut sent, mut reservations) = (Timestamp::default(), Vec::new(), Vec::new());
        let mut cancellations = cancellations.into_iter();
        for (pause, cost) in steps {
            now = now + Duration::from_micros(pause);
            let (is_cancelled, index) = cancellations.next().unwrap_or((false, 0));
            match bucket.reserve(cost, Duration::ZERO, now) {
                Ok(reserved) if is_cancelled => reservations.push(reserved.id),
                Ok(_) => sent.push((micros(now), cost)),
                Err(_) => {}
            }
            if is_cancelled && index % 2 == 0 && !reservations.is_empty() {
                let reservation = reservations.swap_remove(index % reservations.len());
                let before = bucket.level(now);
                bucket.cancel(&reservation, now);
                prop_assert!(bucket.level(now) <= before + reservation.cost() as i64);
                // A second cancellation has no effect.
                bucket.cancel(&reservation, now);
            }
        }
        assert_bounded(&sent, 0, setting);
    }

    /// A cancellation without a delay returns the full cost.
    #[test]
    fn immediate_cancellation_returns_the_full_cost(setting in quotas(), cost in 1u64..50) {
        let mut bucket = Bucket::full(quota(setting), Timestamp::default());
        let cost = cost.min(setting.2);
        let reservation = bucket.reserve(cost, Duration::ZERO, Timestamp::default()).unwrap().id;
        bucket.cancel(&reservation, Timestamp::default());
        prop_assert_eq!(bucket.level(Timestamp::default()), setting.2 as i64);
        prop_assert_eq!(reservation.to_string().parse(), Ok(reservation));
    }

    /// An update keeps the level to within one token and adds no tokens.
    #[test]
    fn update_keeps_the_level(before in quotas(), after in quotas(), used in 0u64..50, pause in 0u64..10_000_000) {
        let mut bucket = Bucket::full(quota(before), Timestamp::default());
        let _ = bucket.check(used.min(before.2), Timestamp::default());
        let now = Timestamp::from_micros(pause);
        let level = bucket.level(now);
        bucket.update(quota(after), now);
        let new_level = bucket.level(now);
        prop_assert!(
            new_level <= level && new_level >= (level - 1).min(after.2 as i64),
            "the level changed from {level} to {new_level}"
        );
    }
}

fn micros(time: Timestamp) -> u64 {
    time.as_micros()
}
