//! Alerts of a fleet: what is kept where all can see it, who may write it, and who is told.

use std::sync::Arc;
use std::time::Duration;

use tidegate::core::store::{AlertEntry, AlertKey, AlertRecord, AlertStore, Changes, Delivery, Intent};
use tidegate::core::{AlertState, Clock, Notification, Severity, Stats, Timing, Transition};
use tidegate::redis::RedisAlerts;

use crate::servers::Server;
use crate::three_forms::Hand;

const DAY: Duration = Duration::from_secs(86_400);

/// A store at a time that the test moves, in memory or in Redis.
struct Kept {
    name: &'static str,
    hand: Arc<Hand>,
    store: Arc<dyn AlertStore>,
}

/// Both forms of the store; what holds for one holds for the other.
async fn both(server: &Server) -> [Kept; 2] {
    let hands = [(); 2].map(|()| Arc::new(Hand::default()));
    hands.iter().for_each(|hand| hand.advance(1_800_000_000_000_000));
    let [memory, redis] = hands;
    let clock = |hand: &Arc<Hand>| Arc::clone(hand) as Arc<dyn Clock>;
    let in_memory = Arc::new(tidegate::MemoryAlerts::new(clock(&memory)));
    let in_redis = Arc::new(RedisAlerts::with_clock(server.redis().await, clock(&redis)));
    [Kept { name: "memory", hand: memory, store: in_memory }, Kept { name: "Redis", hand: redis, store: in_redis }]
}

fn intent(platform: &str, number: u64, channels: &[&str]) -> Intent {
    let notification = Notification {
        rule: "high".to_owned(),
        severity: Severity::Critical,
        platform: platform.to_owned(),
        endpoint: None,
        transition: Transition::Firing,
        condition: "error_rate > 0.1".to_owned(),
        detail: Some(number.to_string()),
        stats: Stats { error_rate: 0.5, ..Stats::default() },
        at_ms: 1_800_000_000_000 + number,
    };
    Intent { notification, channels: channels.iter().map(|name| (*name).to_owned()).collect() }
}

fn tell(intents: Vec<Intent>) -> Changes {
    Changes { intents, keep: 7 * DAY, ..Changes::default() }
}

fn told(channel: &str) -> Delivery {
    Delivery { channel: channel.to_owned(), delivered: true, attempts: 1, error: None }
}

/// Open messages with their open channels, in words.
fn open(records: &[AlertRecord]) -> String {
    let words = records.iter().map(|record| {
        let channels: Vec<&str> = record.open().map(String::as_str).collect();
        format!("{}: {}", record.intent.notification.detail.as_deref().unwrap_or_default(), channels.join(", "))
    });
    words.collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn a_message_is_open_on_every_channel_that_is_not_marked() {
    let server = Server::single();
    for Kept { name, store, .. } in both(&server).await {
        let messages = tell(vec![intent("jd", 1, &["a", "b"]), intent("jd", 2, &[])]);
        let written = store.write(1, messages).await.unwrap().unwrap();
        assert_eq!(open(&written), "1: a, b", "{name}");
        let id = written[0].id;
        store.mark(id, told("a")).await.unwrap();
        let written = store.write(1, tell(vec![intent("pdd", 3, &["c d"])])).await.unwrap().unwrap();
        assert_eq!(open(&written), "1: b; 3: c d", "{name}");
        assert!(written[1].id > id, "{name}");
        let history = store.history(Some("jd"), 9).await.unwrap();
        let details: Vec<_> = history.iter().map(|record| record.intent.notification.detail.clone().unwrap()).collect();
        assert_eq!(details, ["2", "1"], "{name}");
        let marked = AlertRecord { intent: intent("jd", 1, &["a", "b"]), deliveries: vec![told("a")], id };
        assert_eq!(history[1], marked, "{name}");
    }
}

#[tokio::test]
async fn a_deposed_leader_writes_nothing_but_may_say_whom_it_told() {
    let server = Server::single();
    for Kept { name, store, .. } in both(&server).await {
        let written = store.write(7, tell(vec![intent("jd", 1, &["a"])])).await.unwrap().unwrap();
        assert!(store.lead(8).await.unwrap().is_some(), "{name}");
        assert!(store.lead(7).await.unwrap().is_none(), "{name}");
        assert!(store.write(7, tell(vec![intent("jd", 2, &["a"])])).await.unwrap().is_none(), "{name}");
        store.mark(written[0].id, told("a")).await.unwrap();
        assert_eq!(store.write(8, tell(vec![])).await.unwrap().unwrap(), [], "{name}");
        assert_eq!(store.history(None, 9).await.unwrap().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn states_are_what_was_written_last_with_the_stores_own_time() {
    let server = Server::single();
    let key = |platform: &str, endpoint: Option<&str>| AlertKey {
        rule: "a \"rule\"".to_owned(),
        platform: platform.to_owned(),
        endpoint: endpoint.map(str::to_owned),
    };
    for Kept { name, store, hand } in both(&server).await {
        let seen = store.lead(1).await.unwrap().unwrap();
        assert_eq!((seen.now, seen.unix_ms, seen.states.len()), (hand.now(), hand.unix_ms(), 0), "{name}");
        let mut state = AlertState::default();
        let timing = Timing { hold: Duration::ZERO, cooldown: DAY };
        assert_eq!(state.step(true, timing, seen.now), Some(Transition::Firing));
        let entry = AlertEntry { state, severity: Severity::Info, last: Some(intent("jd", 1, &["a"])) };
        let states = [(key("jd", None), Some(entry.clone())), (key("jd", Some("")), Some(entry.clone()))];
        store.write(1, Changes { states: states.into(), ..tell(vec![]) }).await.unwrap().unwrap();
        let states = [(key("jd", None), None), (key("pdd", None), None)];
        store.write(1, Changes { states: states.into(), ..tell(vec![]) }).await.unwrap().unwrap();
        hand.advance(1_000_000);
        let seen = store.look().await.unwrap();
        assert_eq!(seen.unix_ms, hand.unix_ms(), "{name}");
        assert_eq!(seen.states, [(key("jd", Some("")), entry)].into(), "{name}");
    }
}

#[tokio::test]
async fn history_keeps_what_is_young_enough_and_no_more_than_ten_thousand() {
    let server = Server::single();
    for Kept { name, store, hand } in both(&server).await {
        for thousand in 0..11 {
            let numbers = thousand * 1_000..(thousand + 1) * 1_000;
            let some = numbers.map(|number| intent(["jd", "pdd"][number as usize % 2], number, &[])).collect();
            store.write(1, tell(some)).await.unwrap().unwrap();
        }
        let newest = store.history(Some("jd"), 300).await.unwrap();
        let numbers: Vec<u64> =
            newest.iter().map(|record| record.intent.notification.detail.as_ref().unwrap().parse().unwrap()).collect();
        assert_eq!(numbers, (0..300).map(|back| 10_998 - 2 * back).collect::<Vec<_>>(), "{name}");
        assert_eq!(store.history(None, usize::MAX).await.unwrap().len(), 10_000, "{name}");
        hand.advance(7 * 86_400 * 1_000_000);
        for _ in 0..11 {
            store.write(1, tell(vec![])).await.unwrap().unwrap();
        }
        let left = store.history(None, usize::MAX).await.unwrap().len();
        assert!(left > 0, "{name}"); // seven days old to the millisecond is young enough
        hand.advance(86_400 * 1_000_000);
        for _ in 0..11 {
            store.write(1, tell(vec![])).await.unwrap().unwrap();
        }
        assert_eq!(store.history(None, usize::MAX).await.unwrap(), [], "{name}");
    }
}

#[tokio::test]
async fn a_redis_that_lost_its_data_gives_no_id_twice() {
    let server = Server::single();
    let store = RedisAlerts::new(server.redis().await);
    let first = store.write(1, tell(vec![intent("jd", 1, &["a"]), intent("jd", 2, &["a"])])).await.unwrap().unwrap();
    server.flush().await;
    let later = store.write(1, tell(vec![intent("jd", 3, &["a"])])).await.unwrap().unwrap();
    assert!(later[0].id > first[1].id);
}
