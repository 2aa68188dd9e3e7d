//! The states of alert rules and the history of notifications, in Redis.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::FromRedisValue;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tidegate_core::clock::millis;
use tidegate_core::store::{
    AlertChanges, AlertEntry, AlertKey, AlertRecord, AlertStates, AlertStore, Delivery, MAX_HISTORY, OfflineAlerts,
    RoutedNotification, StoreFuture,
};
use tidegate_core::{Clock, StoreError, Timestamp};
use tidegate_lua::{ALERTS_ADD_OFFLINE, ALERTS_RECORD_DELIVERY, ALERTS_STATES, ALERTS_WRITE, Script};

use crate::client::Redis;
use crate::codec::{decode_reply, encode_arg};

/// The maximum duration of a request; no call to a platform waits for it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// The maximum number of undelivered channels that a leader receives at once; more follow when these are delivered.
const MAX_UNDELIVERED: usize = 1_000;

/// The number of notifications that are read in one round trip.
const PAGE_SIZE: usize = 256;

/// The field of a notification's hash that contains the notification; the other fields are `to CHANNEL`.
const NOTIFICATION_FIELD: &str = "message";

/// An [`AlertStore`] that all processes with the same Redis and prefix share.
pub struct RedisAlerts {
    redis: Redis,
    clock: Option<Arc<dyn Clock>>,
}

/// The time in µs and the states; `None` if the fencing token was rejected.
type StatesReply = Option<(u64, BTreeMap<String, String>)>;

impl fmt::Debug for RedisAlerts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisAlerts").field("redis", &self.redis).finish_non_exhaustive()
    }
}

impl RedisAlerts {
    /// Creates a store that uses the Redis server's clock.
    #[must_use]
    pub fn new(redis: Redis) -> Self {
        Self { redis, clock: None }
    }

    /// Creates a store that uses `clock` in place of the clock of the Redis server, for the tests of this workspace.
    #[cfg(feature = "internals")]
    #[must_use]
    pub fn with_clock(redis: Redis, clock: Arc<dyn Clock>) -> Self {
        Self { redis, clock: Some(clock) }
    }

    /// Returns the time as an argument of scripts: empty if they use the server's clock.
    fn time_arg(&self) -> Vec<u8> {
        self.clock.as_ref().map_or_else(Vec::new, |clock| encode_arg(clock.unix_ms() * 1_000))
    }

    async fn run_script<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        args: &[Vec<u8>],
    ) -> Result<T, StoreError> {
        decode_reply(script.name, self.redis.run_within(REQUEST_TIMEOUT, script, keys, args).await?)
    }

    async fn read_states(&self, token: Option<u64>) -> Result<Option<AlertStates>, StoreError> {
        let keys = [self.redis.keys().alerts_token(), self.redis.keys().alerts_states()];
        let args = [self.time_arg(), token.map_or_else(Vec::new, encode_arg)];
        let reply: StatesReply = self.run_script(&ALERTS_STATES, &keys, &args).await?;
        let Some((now_us, states)) = reply else { return Ok(None) };
        let states =
            states.iter().map(|(key, entry)| Ok((from_json::<AlertKey>(key)?, from_json::<AlertEntry>(entry)?)));
        let states = states.collect::<Result<_, StoreError>>()?;
        Ok(Some(AlertStates::new(Timestamp::from_micros(now_us), now_us / 1_000, states)))
    }

    async fn write_changes(&self, token: u64, changes: AlertChanges) -> Result<Option<Vec<AlertRecord>>, StoreError> {
        let builder = self.redis.keys();
        let keys = [
            builder.alerts_token(),
            builder.alerts_states(),
            builder.alerts_history(),
            builder.alerts_undelivered(),
            builder.alerts_last(),
        ];
        let mut args = vec![
            self.time_arg(),
            encode_arg(token),
            builder.alerts_message("").into_bytes(),
            encode_arg(millis(changes.retention).max(1)),
            encode_arg(MAX_HISTORY),
            encode_arg(MAX_UNDELIVERED),
            encode_arg(changes.states.len()),
        ];
        for (key, entry) in &changes.states {
            args.extend([to_json(key)?, optional_json(entry.as_ref())?]);
        }
        for routed in &changes.notifications {
            args.extend([to_json(routed)?, encode_arg(routed.channels.len())]);
            args.extend(routed.channels.iter().map(encode_arg));
        }
        let undelivered: Option<Vec<(u64, String, String)>> = self.run_script(&ALERTS_WRITE, &keys, &args).await?;
        undelivered.map(undelivered_records).transpose()
    }

    async fn add_offline_alerts(&self, alerts: OfflineAlerts) -> Result<(), StoreError> {
        let builder = self.redis.keys();
        let keys = [
            builder.alerts_added(&alerts.origin),
            builder.alerts_states(),
            builder.alerts_history(),
            builder.alerts_undelivered(),
            builder.alerts_last(),
        ];
        let mut args = vec![
            self.time_arg(),
            builder.alerts_message("").into_bytes(),
            encode_arg(millis(alerts.retention).max(1)),
            encode_arg(alerts.states.len()),
        ];
        for state in &alerts.states {
            let last_notified = state.after.as_ref().and_then(|entry| entry.state.last_notified());
            args.extend([
                to_json(&state.key)?,
                optional_json(state.before.as_ref())?,
                optional_json(state.after.as_ref())?,
                encode_arg(last_notified.unwrap_or_default().as_micros()),
                encode_arg(state.last_id),
            ]);
        }
        for AlertRecord { routed, deliveries, id, .. } in &alerts.records {
            let at_ms = routed.notification.at_ms;
            args.extend([encode_arg(id), encode_arg(at_ms), to_json(routed)?, encode_arg(routed.channels.len())]);
            for channel in &routed.channels {
                let delivery = deliveries.iter().find(|delivery| delivery.channel == *channel);
                args.extend([encode_arg(channel), optional_json(delivery)?]);
            }
        }
        self.run_script::<u64>(&ALERTS_ADD_OFFLINE, &keys, &args).await.map(drop)
    }

    /// Returns one page of the history, newest first, and whether there may be more.
    async fn read_page(&self, from: usize) -> Result<(Vec<AlertRecord>, bool), StoreError> {
        let keys = self.redis.keys();
        let history = keys.alerts_history();
        let range = ["ZRANGE", &history, &from.to_string(), &(from + PAGE_SIZE - 1).to_string(), "REV"];
        let range = range.iter().map(encode_arg).collect();
        let replies = self.redis.read(REQUEST_TIMEOUT, &history, &[range]).await?;
        let ids: Vec<String> = decode_reply("ZRANGE", replies.into_iter().next().unwrap_or(redis::Value::Nil))?;
        let read_hash = |id: &String| vec![b"HGETALL".to_vec(), keys.alerts_message(id).into_bytes()];
        let commands: Vec<_> = ids.iter().map(read_hash).collect();
        let mut records = Vec::new();
        if !commands.is_empty() {
            for (id, reply) in ids.iter().zip(self.redis.read(REQUEST_TIMEOUT, &history, &commands).await?) {
                records.extend(parse_record(id, &decode_reply("HGETALL", reply)?)?);
            }
        }
        Ok((records, ids.len() == PAGE_SIZE))
    }

    async fn read_history(&self, platform: Option<&str>, limit: usize) -> Result<Vec<AlertRecord>, StoreError> {
        let (mut matches, mut ids) = (Vec::new(), HashSet::new());
        for from in (0..MAX_HISTORY).step_by(PAGE_SIZE) {
            let (records, more) = self.read_page(from).await?;
            for record in records {
                // A notification that is added between two requests shifts the pages, so a record may appear in both.
                if ids.insert(record.id) && platform.is_none_or(|name| name == record.routed.notification.platform) {
                    matches.push(record);
                }
            }
            if !more || matches.len() >= limit {
                break;
            }
        }
        matches.truncate(limit);
        Ok(matches)
    }
}

impl AlertStore for RedisAlerts {
    fn states(&self) -> StoreFuture<'_, AlertStates> {
        Box::pin(async { Ok(self.read_states(None).await?.unwrap_or_default()) })
    }

    fn states_as_leader(&self, token: u64) -> StoreFuture<'_, Option<AlertStates>> {
        Box::pin(self.read_states(Some(token)))
    }

    fn write(&self, token: u64, changes: AlertChanges) -> StoreFuture<'_, Option<Vec<AlertRecord>>> {
        Box::pin(self.write_changes(token, changes))
    }

    fn record_delivery(&self, id: u64, delivery: Delivery) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let id = format!("{id:016}");
            let keys = [self.redis.keys().alerts_message(&id), self.redis.keys().alerts_undelivered()];
            let args = [encode_arg(id), encode_arg(&delivery.channel), to_json(&delivery)?];
            self.run_script::<u64>(&ALERTS_RECORD_DELIVERY, &keys, &args).await.map(drop)
        })
    }

    fn add_offline(&self, alerts: OfflineAlerts) -> StoreFuture<'_, ()> {
        Box::pin(self.add_offline_alerts(alerts))
    }

    fn history<'a>(&'a self, platform: Option<&'a str>, limit: usize) -> StoreFuture<'a, Vec<AlertRecord>> {
        Box::pin(self.read_history(platform, limit))
    }
}

/// Groups undelivered entries (id, notification, channel) into one record for each notification.
fn undelivered_records(entries: Vec<(u64, String, String)>) -> Result<Vec<AlertRecord>, StoreError> {
    let mut records: BTreeMap<u64, AlertRecord> = BTreeMap::new();
    for (id, notification, channel) in entries {
        let record = match records.entry(id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let mut routed: RoutedNotification = from_json(&notification)?;
                routed.channels.clear();
                entry.insert(AlertRecord::new(id, routed))
            }
        };
        record.routed.channels.push(channel);
    }
    Ok(records.into_values().collect())
}

/// Parses a notification's hash; returns `None` if the notification is no longer kept.
fn parse_record(id: &str, fields: &BTreeMap<String, String>) -> Result<Option<AlertRecord>, StoreError> {
    let Some(notification) = fields.get(NOTIFICATION_FIELD) else { return Ok(None) };
    let id = id.parse().map_err(|_| StoreError::failed(format!("invalid id {id:?} of a notification in redis")))?;
    let deliveries = fields.iter().filter(|(name, _)| name.starts_with("to "));
    let deliveries = deliveries.map(|(_, delivery)| from_json(delivery)).collect::<Result<_, _>>()?;
    Ok(Some(AlertRecord::new(id, from_json(notification)?).with_deliveries(deliveries)))
}

fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::failed(format!("invalid alert data in redis: {error}")))
}

/// Returns a value as JSON, and nothing as an empty argument.
fn optional_json(value: Option<&impl Serialize>) -> Result<Vec<u8>, StoreError> {
    value.map_or_else(|| Ok(Vec::new()), to_json)
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| StoreError::failed(format!("cannot encode alert data: {error}")))
}
