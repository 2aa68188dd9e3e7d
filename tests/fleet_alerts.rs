//! Alert stores: the shared states and history, which leader may write them, and which deliveries are pending.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::store::{
    AlertChanges, AlertEntry, AlertKey, AlertRecord, AlertStore, Delivery, OfflineAlerts, OfflineState,
    RoutedNotification,
};
use tidegate_core::{AlertState, AlertTiming, Clock, ManualClock, Notification, Severity, Timestamp, Transition};
use tidegate_redis::RedisAlerts;

use crate::policies::stats_with;
use crate::servers::RedisServer;

const DAY: Duration = Duration::from_secs(86_400);

/// An alert store, in memory or in Redis, with a clock that the test controls.
struct StoreFixture {
    name: &'static str,
    clock: Arc<ManualClock>,
    store: Arc<dyn AlertStore>,
}

/// Returns both implementations of the store. They must behave alike.
async fn both_stores(server: &RedisServer) -> [StoreFixture; 2] {
    let clocks = [(); 2].map(|()| Arc::new(ManualClock::default()));
    clocks.iter().for_each(|clock| clock.advance(Duration::from_secs(1_800_000_000)));
    let [memory, redis] = clocks;
    let as_clock = |clock: &Arc<ManualClock>| Arc::clone(clock) as Arc<dyn Clock>;
    let in_memory = Arc::new(tidegate::internals::MemoryAlerts::new(as_clock(&memory)));
    let in_redis = Arc::new(RedisAlerts::with_clock(server.redis().await, as_clock(&redis)));
    [
        StoreFixture { name: "memory", clock: memory, store: in_memory },
        StoreFixture { name: "Redis", clock: redis, store: in_redis },
    ]
}

fn notification(platform: &str, number: u64, channels: &[&str]) -> RoutedNotification {
    let notification = Notification::new("high", Severity::Critical, platform, Transition::Firing)
        .with_condition("error_rate > 0.1")
        .with_detail(number.to_string())
        .with_stats(stats_with(|stats| stats.error_rate = 0.5))
        .with_at_ms(1_800_000_000_000 + number);
    RoutedNotification::new(notification, channels.iter().map(|name| (*name).to_owned()).collect())
}

/// Returns changes that only add these notifications.
fn new_notifications(notifications: Vec<RoutedNotification>) -> AlertChanges {
    let mut changes = AlertChanges::default();
    changes.notifications = notifications;
    changes.retention = 7 * DAY;
    changes
}

/// Returns changes that only write these states.
fn new_states<const N: usize>(states: [(AlertKey, Option<AlertEntry>); N]) -> AlertChanges {
    let mut changes = new_notifications(vec![]);
    changes.states = states.into();
    changes
}

fn successful_delivery(channel: &str) -> Delivery {
    Delivery::delivered(channel, 1)
}

/// Formats undelivered notifications with their undelivered channels, such as `1: a, b; 3: c`.
fn format_undelivered(records: &[AlertRecord]) -> String {
    let notifications = records.iter().map(|record| {
        let channels: Vec<&str> = record.undelivered_channels().map(String::as_str).collect();
        format!("{}: {}", record.routed.notification.detail.as_deref().unwrap_or_default(), channels.join(", "))
    });
    notifications.collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn notification_stays_undelivered_on_every_channel_without_a_recorded_delivery() {
    let server = RedisServer::start();
    for StoreFixture { name, store, .. } in both_stores(&server).await {
        let changes = new_notifications(vec![notification("jd", 1, &["a", "b"]), notification("jd", 2, &[])]);
        let written = store.write(1, changes).await.unwrap().unwrap();
        assert_eq!(format_undelivered(&written), "1: a, b", "{name}");
        let id = written[0].id;
        store.record_delivery(id, successful_delivery("a")).await.unwrap();
        let written = store.write(1, new_notifications(vec![notification("pdd", 3, &["c d"])])).await.unwrap().unwrap();
        assert_eq!(format_undelivered(&written), "1: b; 3: c d", "{name}");
        assert!(written[1].id > id, "{name}");
        let history = store.history(Some("jd"), 9).await.unwrap();
        let details: Vec<_> = history.iter().map(|record| record.routed.notification.detail.clone().unwrap()).collect();
        assert_eq!(details, ["2", "1"], "{name}");
        let expected =
            AlertRecord::new(id, notification("jd", 1, &["a", "b"])).with_deliveries(vec![successful_delivery("a")]);
        assert_eq!(history[1], expected, "{name}");
    }
}

#[tokio::test]
async fn former_leader_cannot_write_but_can_record_deliveries() {
    let server = RedisServer::start();
    for StoreFixture { name, store, .. } in both_stores(&server).await {
        let written = store.write(7, new_notifications(vec![notification("jd", 1, &["a"])])).await.unwrap().unwrap();
        assert!(store.states_as_leader(8).await.unwrap().is_some(), "{name}");
        assert!(store.states_as_leader(7).await.unwrap().is_none(), "{name}");
        assert!(
            store.write(7, new_notifications(vec![notification("jd", 2, &["a"])])).await.unwrap().is_none(),
            "{name}"
        );
        store.record_delivery(written[0].id, successful_delivery("a")).await.unwrap();
        assert_eq!(store.write(8, new_notifications(vec![])).await.unwrap().unwrap(), [], "{name}");
        assert_eq!(store.history(None, 9).await.unwrap().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn states_return_the_last_written_values_and_the_time_of_the_store() {
    let server = RedisServer::start();
    let key = |platform: &str, endpoint: Option<&str>| AlertKey {
        rule: "a \"rule\"".to_owned(),
        platform: platform.to_owned(),
        endpoint: endpoint.map(str::to_owned),
    };
    for StoreFixture { name, store, clock } in both_stores(&server).await {
        let current = store.states_as_leader(1).await.unwrap().unwrap();
        assert_eq!((current.now, current.unix_ms, current.states.len()), (clock.now(), clock.unix_ms(), 0), "{name}");
        let mut state = AlertState::default();
        let timing = AlertTiming::new(Duration::ZERO, DAY);
        assert_eq!(state.step(true, timing, current.now), Some(Transition::Firing));
        let entry = AlertEntry::new(state, Severity::Info, Some(notification("jd", 1, &["a"])));
        let states = [(key("jd", None), Some(entry.clone())), (key("jd", Some("")), Some(entry.clone()))];
        store.write(1, new_states(states)).await.unwrap().unwrap();
        let states = [(key("jd", None), None), (key("pdd", None), None)];
        store.write(1, new_states(states)).await.unwrap().unwrap();
        clock.advance(Duration::from_secs(1));
        let current = store.states().await.unwrap();
        assert_eq!(current.unix_ms, clock.unix_ms(), "{name}");
        assert_eq!(current.states, [(key("jd", Some("")), entry)].into(), "{name}");
    }
}

/// The new names of the fields, each with the name under which earlier builds wrote it.
const RENAMED_FIELDS: [(&str, &str); 3] =
    [("notified", "told"), ("last_notified", "last_told"), ("last_notification", "last")];

#[test]
fn alert_state_of_an_earlier_build_is_read() {
    let mut state = AlertState::default();
    let timing = AlertTiming::new(Duration::ZERO, DAY);
    assert_eq!(state.step(true, timing, ManualClock::default().now()), Some(Transition::Firing));
    let last_notification = Some(notification("jd", 1, &["a"]));
    let entry = AlertEntry::new(state, Severity::Info, last_notification);
    let mut text = serde_json::to_string(&entry).unwrap();
    for (new, old) in RENAMED_FIELDS {
        assert_eq!(text.matches(&format!("{new:?}:")).count(), 1, "{text}");
        text = text.replace(&format!("{new:?}:"), &format!("{old:?}:"));
    }
    assert_eq!(serde_json::from_str::<AlertEntry>(&text).unwrap(), entry);
}

#[tokio::test]
async fn history_is_limited_by_age_and_to_ten_thousand_notifications() {
    let server = RedisServer::start();
    for StoreFixture { name, store, clock } in both_stores(&server).await {
        for thousand in 0..11 {
            let numbers = thousand * 1_000..(thousand + 1) * 1_000;
            let notifications =
                numbers.map(|number| notification(["jd", "pdd"][number as usize % 2], number, &[])).collect();
            store.write(1, new_notifications(notifications)).await.unwrap().unwrap();
        }
        let newest = store.history(Some("jd"), 300).await.unwrap();
        let numbers: Vec<u64> =
            newest.iter().map(|record| record.routed.notification.detail.as_ref().unwrap().parse().unwrap()).collect();
        assert_eq!(numbers, (0..300).map(|index| 10_998 - 2 * index).collect::<Vec<_>>(), "{name}");
        assert_eq!(store.history(None, usize::MAX).await.unwrap().len(), 10_000, "{name}");
        clock.advance(Duration::from_secs(7 * 86_400));
        for _ in 0..11 {
            store.write(1, new_notifications(vec![])).await.unwrap().unwrap();
        }
        let remaining = store.history(None, usize::MAX).await.unwrap().len();
        assert!(remaining > 0, "{name}"); // an age of exactly seven days is still within the limit
        clock.advance(Duration::from_secs(86_400));
        for _ in 0..11 {
            store.write(1, new_notifications(vec![])).await.unwrap().unwrap();
        }
        assert_eq!(store.history(None, usize::MAX).await.unwrap(), [], "{name}");
    }
}

#[tokio::test]
async fn ids_are_not_reused_after_redis_loses_its_data() {
    let server = RedisServer::start();
    let store = RedisAlerts::new(server.redis().await);
    let first = store
        .write(1, new_notifications(vec![notification("jd", 1, &["a"]), notification("jd", 2, &["a"])]))
        .await
        .unwrap()
        .unwrap();
    server.flush().await;
    let later = store.write(1, new_notifications(vec![notification("jd", 3, &["a"])])).await.unwrap().unwrap();
    assert!(later[0].id > first[1].id);
}

/// Returns offline alerts with these notifications, and the state of the first one. Their ids are their numbers.
fn offline(origin: &str, numbers: &[u64], state: Option<OfflineState>) -> OfflineAlerts {
    let record = |number: &u64| {
        AlertRecord::new(*number, notification("redis", *number, &["a", "b"]))
            .with_deliveries(vec![successful_delivery("a")])
    };
    let mut alerts = OfflineAlerts::default();
    alerts.origin = origin.to_owned();
    alerts.records = numbers.iter().map(record).collect();
    alerts.states = state.into_iter().collect();
    alerts.retention = 7 * DAY;
    alerts
}

#[tokio::test]
async fn offline_notifications_are_added_once_at_their_time_with_their_deliveries() {
    let server = RedisServer::start();
    for StoreFixture { name, store, .. } in both_stores(&server).await {
        store.write(1, new_notifications(vec![notification("jd", 0, &["a"])])).await.unwrap().unwrap();
        for alerts in [
            offline("p", &[1, 3], None),
            offline("p", &[1, 3], None), // the reply to the first request was lost
            offline("q", &[2], None),
            offline("p", &[1, 3, 4], None),
        ] {
            store.add_offline(alerts).await.unwrap();
        }
        let undelivered = async || {
            let mut undelivered = store.write(1, new_notifications(vec![])).await.unwrap().unwrap();
            undelivered.sort_by_key(|record| record.routed.notification.at_ms);
            undelivered
        };
        let records = undelivered().await;
        assert_eq!(format_undelivered(&records), "0: a; 1: b; 2: b; 3: b; 4: b", "{name}");
        let history = store.history(Some("redis"), 9).await.unwrap();
        let details: Vec<_> = history.iter().map(|record| record.routed.notification.detail.clone().unwrap()).collect();
        assert_eq!(details, ["4", "3", "2", "1"], "{name}");
        assert!(history.iter().all(|record| record.deliveries == [successful_delivery("a")]), "{name}");
        store.record_delivery(records[1].id, successful_delivery("b")).await.unwrap();
        assert_eq!(format_undelivered(&undelivered().await), "0: a; 2: b; 3: b; 4: b", "{name}");
    }
}

/// Returns an entry that fires and was notified last at this second, or that is inactive since.
fn entry(last_notified: u64, fires: bool) -> AlertEntry {
    let (mut state, timing) = (AlertState::default(), AlertTiming::new(Duration::ZERO, DAY));
    let now = Timestamp::from_micros(last_notified * 1_000_000);
    assert_eq!(state.step(true, timing, now), Some(Transition::Firing));
    if !fires {
        assert_eq!(state.step(false, timing, now), Some(Transition::Resolved));
    }
    AlertEntry::new(state, Severity::Critical, None)
}

#[tokio::test]
async fn offline_state_is_written_with_a_new_notification_unless_the_store_has_a_later_one() {
    let key = AlertKey { rule: "redis_unavailable".to_owned(), platform: "redis".to_owned(), endpoint: None };
    let rows = [
        ("new", None, None, Some(entry(5, true)), Some(entry(5, true))),
        ("lost by the store", None, Some(entry(1, false)), Some(entry(5, true)), Some(entry(5, true))),
        ("unchanged", Some(entry(5, true)), Some(entry(5, true)), Some(entry(5, false)), Some(entry(5, false))),
        ("unchanged and removed", Some(entry(5, false)), Some(entry(5, false)), None, None),
        ("notified later", Some(entry(4, false)), Some(entry(1, false)), Some(entry(5, true)), Some(entry(5, true))),
        ("notified earlier", Some(entry(6, true)), Some(entry(1, false)), Some(entry(5, true)), Some(entry(6, true))),
        ("removed, but changed", Some(entry(6, true)), Some(entry(1, false)), None, Some(entry(6, true))),
    ];
    let server = RedisServer::start();
    for (case, current, before, after, expected) in rows {
        server.flush().await;
        for StoreFixture { name, store, .. } in both_stores(&server).await {
            let write = |entry: Option<AlertEntry>| new_states([(key.clone(), entry)]);
            store.write(1, write(current.clone())).await.unwrap().unwrap();
            let state = OfflineState::new(key.clone(), before.clone(), after.clone(), 1);
            store.add_offline(offline("p", &[1], Some(state.clone()))).await.unwrap();
            assert_eq!(store.states().await.unwrap().states.get(&key), expected.as_ref(), "{case}, {name}");
            // The leader goes on; the request is repeated, because its reply was lost.
            store.write(1, write(Some(entry(9, true)))).await.unwrap().unwrap();
            let mut newer = state;
            newer.after = Some(entry(10, true));
            store.add_offline(offline("p", &[1], Some(newer))).await.unwrap();
            let states = store.states().await.unwrap().states;
            assert_eq!(states.get(&key), Some(&entry(9, true)), "{case}, {name}: repeated");
        }
    }
}
