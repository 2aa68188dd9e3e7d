//! The bucket's bounds, from both sides.

use std::time::Duration;

use proptest::prelude::*;
use tidegate_core::{Bucket, Decision, Quota, Rate, Timestamp};

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

/// A burst that is full again within microseconds overflows between two readings of a clock that counts them.
fn unhurried((tokens, period_us, burst): (u64, u64, u64)) -> (u64, u64, u64) {
    (tokens, period_us, burst.max(50 * tokens / period_us + 1))
}

pub fn quota((tokens, period_us, burst): (u64, u64, u64)) -> Quota {
    Quota::new(Rate::new(tokens, Duration::from_micros(period_us)).unwrap(), burst).unwrap()
}

/// How long until a call that costs nothing would get its turn: the end of the queue.
fn bucket_free(bucket: &mut Bucket, now: Timestamp) -> Duration {
    match bucket.check(0, now) {
        Decision::Limited { retry_after } => retry_after,
        Decision::Allowed { .. } | Decision::Never { .. } => Duration::ZERO,
    }
}

/// Pauses from none to many periods, most of them about as long as a token takes.
pub fn pauses(token_us: u64) -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0..=token_us.max(1), 0..=token_us.max(1) * 3, 0..=token_us.max(1) * 100]
}

fn history() -> impl Strategy<Value = ((u64, u64, u64), Vec<(u64, u64)>)> {
    quotas().prop_flat_map(|quota| {
        let token_us = quota.1 / quota.0;
        (Just(quota), proptest::collection::vec((pauses(token_us), 0u64..=quota.2 + 1), 1..120))
    })
}

/// In every window that starts and ends with an admission: at most burst + rate × window.
pub fn assert_bounded(admitted: &[(u64, u64)], slack_us: u64, (tokens, period_us, burst): (u64, u64, u64)) {
    for (index, (start, _)) in admitted.iter().enumerate() {
        let mut sum = 0u128;
        for (end, cost) in &admitted[index..] {
            sum += u128::from(*cost);
            let flowed = u128::from(end - start + slack_us) * u128::from(tokens);
            let allowed = u128::from(burst) * u128::from(period_us) + flowed;
            assert!(sum * u128::from(period_us) <= allowed, "{sum} admitted from {start} to {end} µs");
        }
    }
}

proptest! {
    /// Both sides: never more than the bound, and nothing left lying while someone asks.
    #[test]
    fn under_saturation_the_whole_rate_flows(setting in quotas().prop_map(unhurried), seconds in 1u64..20) {
        let quota = quota(setting);
        let mut bucket = Bucket::full(quota, Timestamp::default());
        // As many tokens as fit into a test, asked for at the microsecond when each comes.
        let (mut now, mut admitted) = (Timestamp::default(), Vec::new());
        for _ in 0..seconds * 100 {
            match bucket.check(1, now) {
                Decision::Allowed { .. } => admitted.push((micros(now), 1)),
                Decision::Limited { retry_after } => now = now + retry_after,
                Decision::Never { .. } => unreachable!("one is never above a burst"),
            }
        }
        assert_bounded(&admitted, 0, setting);
        let (tokens, period_us, burst) = (u128::from(setting.0), u128::from(setting.1), u128::from(setting.2));
        let due = burst + u128::from(micros(now)) * tokens / period_us;
        prop_assert!(admitted.len() as u128 * 100 >= due * 98, "{} of {due}", admitted.len());
    }

    /// Reservations, some of them cancelled before their time, keep the same bound and the order of arrival.
    #[test]
    fn reservations_keep_the_bound_whoever_leaves(
        (setting, steps) in history(),
        leaves in proptest::collection::vec((any::<bool>(), 0usize..200), 0..60),
    ) {
        let mut bucket = Bucket::full(quota(setting), Timestamp::default());
        let (mut now, mut slots) = (Timestamp::default(), Vec::new());
        let mut waiting: Vec<(Timestamp, u64, tidegate_core::Ticket)> = Vec::new();
        let mut leaves = leaves.into_iter();
        for (pause, cost) in steps {
            now = now + Duration::from_micros(pause);
            // Whoever's slot has come is served at it, in order of arrival.
            let (due, later): (Vec<_>, Vec<_>) = waiting.drain(..).partition(|(slot, ..)| *slot <= now);
            slots.extend(due.into_iter().map(|(slot, cost, _)| (micros(slot), cost)));
            waiting = later;
            let cost = cost.max(1);
            if let Ok(ticket) = bucket.reserve(cost, Duration::from_secs(100_000), now) {
                let slot = now + bucket.wait(&ticket, now);
                prop_assert!(waiting.iter().all(|(earlier, ..)| *earlier <= slot), "out of order");
                waiting.push((slot, cost, ticket));
            }
            if let Some((true, who)) = leaves.next() && !waiting.is_empty() {
                let (_, _, ticket) = waiting.remove(who % waiting.len());
                bucket.cancel(&ticket, now);
            }
            // Whoever is woken looks again: a slot may have moved up, and never back.
            for (slot, _, ticket) in &mut waiting {
                let moved = now + bucket.wait(ticket, now);
                prop_assert!(moved <= *slot, "{slot:?} moved back to {moved:?}");
                *slot = moved;
            }
        }
        let behind = waiting.iter().map(|(slot, ..)| *slot).max();
        let free = now + bucket_free(&mut bucket, now);
        prop_assert!(behind.is_none_or(|last| last <= free), "the level knows of those who wait");
        prop_assert!(behind.is_some() || bucket.level(now) >= 0, "nothing is reserved for nobody");
        slots.extend(waiting.into_iter().map(|(slot, cost, _)| (micros(slot), cost)));
        slots.sort_unstable();
        // A slot lies between two microseconds and is served at the second.
        assert_bounded(&slots, 1, setting);
    }

    /// Calls that are sent keep the bound, however many others took tokens, sent nothing and gave them back.
    #[test]
    fn what_is_given_back_lets_no_call_through_beyond_the_bound(
        (setting, steps) in history(),
        given_back in proptest::collection::vec((any::<bool>(), 0usize..200), 0..120),
    ) {
        let mut bucket = Bucket::full(quota(setting), Timestamp::default());
        let (mut now, mut sent, mut unsent) = (Timestamp::default(), Vec::new(), Vec::new());
        let mut given_back = given_back.into_iter();
        for (pause, cost) in steps {
            now = now + Duration::from_micros(pause);
            let (gives, who) = given_back.next().unwrap_or((false, 0));
            match bucket.check(cost, now) {
                Decision::Allowed { .. } if gives => unsent.push(bucket.receipt(cost)),
                Decision::Allowed { .. } => sent.push((micros(now), cost)),
                Decision::Limited { .. } | Decision::Never { .. } => {}
            }
            if gives && who % 2 == 0 && !unsent.is_empty() {
                let receipt = unsent.swap_remove(who % unsent.len());
                let before = bucket.level(now);
                bucket.give_back(&receipt, now);
                prop_assert!(bucket.level(now) <= before + receipt.cost as i64);
                // Once is enough.
                bucket.give_back(&receipt, now);
            }
        }
        assert_bounded(&sent, 0, setting);
    }

    /// What is given back at once is there again, whole.
    #[test]
    fn what_is_given_back_at_once_is_there_for_others(setting in quotas(), cost in 1u64..50) {
        let mut bucket = Bucket::full(quota(setting), Timestamp::default());
        let cost = cost.min(setting.2);
        prop_assert!(bucket.check(cost, Timestamp::default()).is_allowed());
        let receipt = bucket.receipt(cost);
        bucket.give_back(&receipt, Timestamp::default());
        prop_assert_eq!(bucket.level(Timestamp::default()), setting.2 as i64);
        prop_assert_eq!(receipt.to_string().parse(), Ok(receipt));
    }

    /// An update keeps the level to within one token and mints nothing.
    #[test]
    fn an_update_keeps_the_level(before in quotas(), after in quotas(), spent in 0u64..50, pause in 0u64..10_000_000) {
        let mut bucket = Bucket::full(quota(before), Timestamp::default());
        let _ = bucket.check(spent.min(before.2), Timestamp::default());
        let now = Timestamp::from_micros(pause);
        let level = bucket.level(now);
        bucket.update(quota(after), now);
        let kept = bucket.level(now);
        prop_assert!(kept <= level && kept >= (level - 1).min(after.2 as i64), "{level} became {kept}");
    }
}

fn micros(at: Timestamp) -> u64 {
    at.as_micros()
}
