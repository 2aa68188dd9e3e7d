//! The states of alert rules and what people were told, in Redis.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use redis::FromRedisValue;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tidegate_core::clock::millis;
use tidegate_core::store::{
    AlertEntry, AlertKey, AlertRecord, AlertStore, Answer, Changes, Delivery, Intent, MAX_HISTORY, Seen,
};
use tidegate_core::{Clock, StoreError, Timestamp};
use tidegate_lua::{ALERTS_LOOK, ALERTS_MARK, ALERTS_WRITE, Script};

use crate::Redis;
use crate::answers::{text, understood};

/// How long a question may take: nobody's call waits for it.
const WITHIN: Duration = Duration::from_secs(2);

/// How many open channels a leader hears of at once; the others come when these have ended.
const MOST_OPEN: usize = 1_000;

/// How many messages are read in one round trip.
const PAGE: usize = 256;

/// The field of a message's hash that holds the message; the others are `to CHANNEL`.
const MESSAGE: &str = "message";

/// An [`AlertStore`] that processes share.
pub struct RedisAlerts {
    redis: Redis,
    clock: Option<Arc<dyn Clock>>,
}

/// The time in µs and the states, where the token was not refused.
type Looked = Option<(u64, BTreeMap<String, String>)>;

impl RedisAlerts {
    /// States at the server's time.
    #[must_use]
    pub fn new(redis: Redis) -> Self {
        Self { redis, clock: None }
    }

    /// The same at the time of a clock, for tests.
    #[must_use]
    pub fn with_clock(redis: Redis, clock: Arc<dyn Clock>) -> Self {
        Self { redis, clock: Some(clock) }
    }

    /// The time as scripts take it: nothing, unless there is a clock.
    fn now(&self) -> Vec<u8> {
        self.clock.as_ref().map_or_else(Vec::new, |clock| text(clock.unix_ms() * 1_000))
    }

    async fn ask<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        args: &[Vec<u8>],
    ) -> Result<T, StoreError> {
        understood(script.name, self.redis.run_within(WITHIN, script, keys, args).await?)
    }

    async fn see(&self, token: Option<u64>) -> Result<Option<Seen>, StoreError> {
        let keys = [self.redis.keys().alerts_token(), self.redis.keys().alerts_states()];
        let args = [self.now(), token.map_or_else(Vec::new, text)];
        let looked: Looked = self.ask(&ALERTS_LOOK, &keys, &args).await?;
        let Some((now_us, states)) = looked else { return Ok(None) };
        let states = states.iter().map(|(key, entry)| Ok((read::<AlertKey>(key)?, read::<AlertEntry>(entry)?)));
        let states = states.collect::<Result<_, StoreError>>()?;
        Ok(Some(Seen { now: Timestamp::from_micros(now_us), unix_ms: now_us / 1_000, states }))
    }

    async fn put(&self, token: u64, changes: Changes) -> Result<Option<Vec<AlertRecord>>, StoreError> {
        let keys = self.redis.keys();
        let declared =
            [keys.alerts_token(), keys.alerts_states(), keys.alerts_history(), keys.alerts_open(), keys.alerts_last()];
        let mut args = vec![
            self.now(),
            text(token),
            keys.alerts_message("").into_bytes(),
            text(millis(changes.keep).max(1)),
            text(MAX_HISTORY),
            text(MOST_OPEN),
            text(changes.states.len()),
        ];
        for (key, entry) in &changes.states {
            args.extend([written(key)?, entry.as_ref().map_or_else(|| Ok(Vec::new()), written)?]);
        }
        for intent in &changes.intents {
            args.extend([written(intent)?, text(intent.channels.len())]);
            args.extend(intent.channels.iter().map(text));
        }
        let open: Option<Vec<(u64, String, String)>> = self.ask(&ALERTS_WRITE, &declared, &args).await?;
        open.map(opened).transpose()
    }

    /// One page of messages, newest first, and whether there may be more.
    async fn page(&self, from: usize) -> Result<(Vec<AlertRecord>, bool), StoreError> {
        let keys = self.redis.keys();
        let history = keys.alerts_history();
        let range = ["ZRANGE", &history, &from.to_string(), &(from + PAGE - 1).to_string(), "REV"];
        let range = range.iter().map(text).collect();
        let answer = self.redis.read(WITHIN, &history, &[range]).await?;
        let ids: Vec<String> = understood("ZRANGE", answer.into_iter().next().unwrap_or(redis::Value::Nil))?;
        let hash = |id: &String| vec![b"HGETALL".to_vec(), keys.alerts_message(id).into_bytes()];
        let commands: Vec<_> = ids.iter().map(hash).collect();
        let mut records = Vec::new();
        if !commands.is_empty() {
            for (id, answer) in ids.iter().zip(self.redis.read(WITHIN, &history, &commands).await?) {
                records.extend(record(id, &understood("HGETALL", answer)?)?);
            }
        }
        Ok((records, ids.len() == PAGE))
    }

    async fn newest(&self, platform: Option<&str>, limit: usize) -> Result<Vec<AlertRecord>, StoreError> {
        let mut found: Vec<AlertRecord> = Vec::new();
        for from in (0..MAX_HISTORY).step_by(PAGE) {
            let (records, more) = self.page(from).await?;
            for record in records {
                // A message that came in between moved the pages, so this one may have been seen.
                let new = found.last().is_none_or(|last| record.id < last.id);
                if new && platform.is_none_or(|name| name == record.intent.notification.platform) {
                    found.push(record);
                }
            }
            if !more || found.len() >= limit {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }
}

impl AlertStore for RedisAlerts {
    fn look(&self) -> Answer<'_, Seen> {
        Box::pin(async { Ok(self.see(None).await?.unwrap_or_default()) })
    }

    fn lead(&self, token: u64) -> Answer<'_, Option<Seen>> {
        Box::pin(self.see(Some(token)))
    }

    fn write(&self, token: u64, changes: Changes) -> Answer<'_, Option<Vec<AlertRecord>>> {
        Box::pin(self.put(token, changes))
    }

    fn mark(&self, id: u64, delivery: Delivery) -> Answer<'_, ()> {
        Box::pin(async move {
            let id = format!("{id:016}");
            let keys = [self.redis.keys().alerts_message(&id), self.redis.keys().alerts_open()];
            let args = [text(id), text(&delivery.channel), written(&delivery)?];
            self.ask::<u64>(&ALERTS_MARK, &keys, &args).await.map(drop)
        })
    }

    fn history<'a>(&'a self, platform: Option<&'a str>, limit: usize) -> Answer<'a, Vec<AlertRecord>> {
        Box::pin(self.newest(platform, limit))
    }
}

/// Messages with those of their channels that are open.
fn opened(places: Vec<(u64, String, String)>) -> Result<Vec<AlertRecord>, StoreError> {
    let mut records: BTreeMap<u64, AlertRecord> = BTreeMap::new();
    for (id, message, channel) in places {
        let record = match records.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let intent = Intent { channels: Vec::new(), ..read(&message)? };
                new.insert(AlertRecord { intent, deliveries: Vec::new(), id })
            }
        };
        record.intent.channels.push(channel);
    }
    Ok(records.into_values().collect())
}

/// A message from its hash; `None` where it is no longer kept.
fn record(id: &str, fields: &BTreeMap<String, String>) -> Result<Option<AlertRecord>, StoreError> {
    let Some(message) = fields.get(MESSAGE) else { return Ok(None) };
    let id = id.parse().map_err(|_| StoreError::refused(format!("a message of alerts has the id {id:?}")))?;
    let deliveries = fields.iter().filter(|(name, _)| name.starts_with("to "));
    let deliveries = deliveries.map(|(_, delivery)| read(delivery)).collect::<Result<_, _>>()?;
    Ok(Some(AlertRecord { intent: read(message)?, deliveries, id }))
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::refused(format!("alerts in Redis are not as this version writes them: {error}")))
}

fn written(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| StoreError::refused(format!("alerts cannot be written: {error}")))
}
