//! Builds every key and channel name that tidegate uses in Redis; no other module builds keys.
//!
//! Related keys share a hash tag, the text in braces. A cluster keeps them on one node, so one script may use them all.

/// A builder of keys that begin with one prefix.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    /// Returns a builder of keys that begin with `prefix`.
    #[must_use]
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    /// Returns the key of a probe, which directs it to the server that has `tag_key`. Nothing is stored under it.
    #[must_use]
    pub fn probe(&self, tag_key: &str) -> String {
        let tag = tag_key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("probe", |(tag, _)| tag);
        format!("{}probe:{{{tag}}}", self.prefix)
    }

    /// Returns the key of the processes that share this prefix: a sorted set, scored by last heartbeat, kept for 10 s
    /// after the last one.
    #[must_use]
    pub fn processes(&self) -> String {
        format!("{}processes:{{processes}}", self.prefix)
    }

    /// Returns the key of what each process says about itself: a hash of process ids, kept for 10 s after the last
    /// heartbeat.
    #[must_use]
    pub fn processes_info(&self) -> String {
        format!("{}:info", self.processes())
    }

    /// Returns the key of a platform's bucket: a hash that does not expire.
    #[must_use]
    pub fn limit(&self, platform: &str) -> String {
        format!("{}limit:{{{}}}", self.prefix, hash_tag(platform))
    }

    /// Returns the key of the waiting calls of a platform's bucket: a sorted set, scored by the refilled units at which
    /// a call may be sent; it exists while calls wait.
    #[must_use]
    pub fn limit_waiting(&self, platform: &str) -> String {
        format!("{}:waiting", self.limit(platform))
    }

    /// Returns the key of the number of a process's last batch and the reply to it: a string, kept for a minute.
    #[must_use]
    pub fn limit_batch(&self, platform: &str, process: &str) -> String {
        format!("{}:batch:{process}", self.limit(platform))
    }

    /// Returns the key of cancelled reservations: a sorted set, scored by the microsecond after which a second
    /// cancellation would return nothing anyway; it exists as long as it has an entry.
    #[must_use]
    pub fn limit_cancelled(&self, platform: &str) -> String {
        format!("{}:cancelled", self.limit(platform))
    }

    /// Returns the name of the channel on which changes of a platform's waiting calls are published.
    #[must_use]
    pub fn limit_changed(&self, platform: &str) -> String {
        format!("{}:changed", self.limit(platform))
    }

    /// Returns the first part of the keys of a platform's windows. The metrics scripts append series and minute.
    #[must_use]
    pub fn windows(&self, platform: &str) -> String {
        format!("{}metrics:{{{}}}", self.prefix, hash_tag(platform))
    }

    /// Returns the key of the counts of a series (`""` is the platform, `":x"` its endpoint x) in one minute, hour or
    /// day: a hash.
    ///
    /// A minute is kept for 2 days until it is rolled up, then for 3 hours; an hour for 2 days; a day for 32 days.
    /// The time is the last part of the key and contains no colon, so a series name may contain colons.
    #[must_use]
    pub fn window(&self, platform: &str, series: &str, time: &str) -> String {
        format!("{}{series}:{time}", self.windows(platform))
    }

    /// Returns the key of the minutes of each series that are not rolled up yet: a sorted set, scored by minute, kept
    /// for 2 days.
    #[must_use]
    pub fn windows_pending(&self, platform: &str) -> String {
        format!("{}:pending", self.windows(platform))
    }

    /// Returns the key of the last minute that was rolled up: a string, kept for 2 days.
    #[must_use]
    pub fn windows_closed(&self, platform: &str) -> String {
        format!("{}:closed", self.windows(platform))
    }

    /// Returns the key of a platform's endpoints: a sorted set, scored by the last minute with calls, kept for 31 days.
    #[must_use]
    pub fn endpoints(&self, platform: &str) -> String {
        format!("{}:endpoints", self.windows(platform))
    }

    /// Returns the key of the platforms that have metrics: a sorted set, scored by the last minute with calls, kept for
    /// 31 days.
    #[must_use]
    pub fn platforms(&self) -> String {
        format!("{}platforms", self.prefix)
    }

    /// Returns the key of the number of the last batch of metrics from one source: a string, kept for 7 days.
    #[must_use]
    pub fn metrics_batch(&self, platform: &str, source: &str) -> String {
        format!("{}metrics-batch:{{{}}}:{source}", self.prefix, hash_tag(platform))
    }

    /// Returns the key of a lock: a string of token, depth, request id and owner, kept for the lock's TTL.
    #[must_use]
    pub fn lock(&self, name: &str) -> String {
        format!("{}lock:{{{}}}", self.prefix, hash_tag(name))
    }

    /// Returns the key of the last fencing token of a lock, and of the id of the request that released that grant: a
    /// string, kept for a day.
    #[must_use]
    pub fn lock_token(&self, name: &str) -> String {
        format!("{}:token", self.lock(name))
    }

    /// Returns the name of the channel on which the release of a lock is published.
    #[must_use]
    pub fn lock_released(&self, name: &str) -> String {
        format!("{}:released", self.lock(name))
    }

    /// Returns the key of the names of locks that may be held: a sorted set, scored by the second in which a name was
    /// added last, kept for 2 days.
    #[must_use]
    pub fn locks(&self) -> String {
        format!("{}locks", self.prefix)
    }

    /// Returns the key of the greatest fencing token of a leader: a string that does not expire.
    #[must_use]
    pub fn alerts_token(&self) -> String {
        format!("{}alerts:{{alerts}}:token", self.prefix)
    }

    /// Returns the key of the states of alert rules: a hash that does not expire. An inactive state without a running
    /// cooldown has no entry.
    #[must_use]
    pub fn alerts_states(&self) -> String {
        format!("{}alerts:{{alerts}}:states", self.prefix)
    }

    /// Returns the key of the ids of notifications: a sorted set, scored by time; each id is kept for
    /// `[alerting] history`.
    #[must_use]
    pub fn alerts_history(&self) -> String {
        format!("{}alerts:{{alerts}}:history", self.prefix)
    }

    /// Returns the key of the deliveries without a recorded result: a sorted set of `id channel`, scored by time; each
    /// entry exists until its result is recorded.
    #[must_use]
    pub fn alerts_undelivered(&self) -> String {
        format!("{}alerts:{{alerts}}:undelivered", self.prefix)
    }

    /// Returns the key of the id of the last notification: a string that does not expire.
    #[must_use]
    pub fn alerts_last(&self) -> String {
        format!("{}alerts:{{alerts}}:last", self.prefix)
    }

    /// Returns the key of the id of the last notification that was added from the memory of one process (`origin`)
    /// after an outage: a string, kept for `[alerting] history`.
    #[must_use]
    pub fn alerts_added(&self, origin: &str) -> String {
        format!("{}alerts:{{alerts}}:added:{origin}", self.prefix)
    }

    /// Returns the key of one notification and its delivery results: a hash, kept for `[alerting] history`. For the
    /// scripts, which append the id, `id` is empty.
    #[must_use]
    pub fn alerts_message(&self, id: &str) -> String {
        format!("{}alerts:{{alerts}}:message:{id}", self.prefix)
    }
}

/// Escapes a name for use as a hash tag: a brace would end the tag early, and an empty tag is no tag.
fn hash_tag(name: &str) -> String {
    if name.is_empty() {
        return "%".to_owned();
    }
    name.replace('%', "%25").replace('{', "%7b").replace('}', "%7d")
}
