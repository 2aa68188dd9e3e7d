//! Every key that tidegate uses in Redis, made here and nowhere else.
//!
//! What belongs together shares a hash tag, the text in braces, so that one script may touch it all in a cluster.

/// Makes keys under one prefix.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    /// Keys that begin with `prefix`.
    #[must_use]
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    /// What a probe names, to be sent to the server that has the key `tag_key`; nothing is kept there.
    #[must_use]
    pub fn probe(&self, tag_key: &str) -> String {
        let tag = tag_key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("probe", |(tag, _)| tag);
        format!("{}probe:{{{tag}}}", self.prefix)
    }

    /// The processes that share this prefix: a sorted set by when each was last heard of, kept for 10 s after the last.
    #[must_use]
    pub fn processes(&self) -> String {
        format!("{}processes", self.prefix)
    }

    /// The bucket of a platform: a hash, kept.
    #[must_use]
    pub fn limit(&self, platform: &str) -> String {
        format!("{}limit:{{{}}}", self.prefix, tag(platform))
    }

    /// Those who wait for a platform's bucket: a sorted set by slot, there while anyone waits.
    #[must_use]
    pub fn limit_waiting(&self, platform: &str) -> String {
        format!("{}:waiting", self.limit(platform))
    }

    /// The reply to a process's last flight: a text, kept for a minute.
    #[must_use]
    pub fn limit_flight(&self, platform: &str, process: &str) -> String {
        format!("{}:flight:{process}", self.limit(platform))
    }

    /// Receipts that were given back: a sorted set by the microsecond until when they could be once more, there while
    /// any could.
    #[must_use]
    pub fn limit_spent(&self, platform: &str) -> String {
        format!("{}:spent", self.limit(platform))
    }

    /// The channel on which changes of a platform's slots are told.
    #[must_use]
    pub fn limit_moved(&self, platform: &str) -> String {
        format!("{}:moved", self.limit(platform))
    }

    /// What the windows of a platform begin with; the scripts of the metrics add series and minute.
    #[must_use]
    pub fn windows(&self, platform: &str) -> String {
        format!("{}metrics:{{{}}}", self.prefix, tag(platform))
    }

    /// What was counted of a series (`""` is the platform, `":x"` its endpoint x) in one minute, hour or day: a hash;
    /// a minute lives 2 days until it is rolled up and 3 hours from then on, an hour 2 days, a day 32.
    ///
    /// The time is the last piece and has no colon, so a name may have any.
    #[must_use]
    pub fn window(&self, platform: &str, series: &str, time: &str) -> String {
        format!("{}{series}:{time}", self.windows(platform))
    }

    /// The series that have minutes which are not rolled up yet: a sorted set by minute, kept for 2 days.
    #[must_use]
    pub fn windows_pending(&self, platform: &str) -> String {
        format!("{}:pending", self.windows(platform))
    }

    /// The last minute that was rolled up: a text, kept for 2 days.
    #[must_use]
    pub fn windows_closed(&self, platform: &str) -> String {
        format!("{}:closed", self.windows(platform))
    }

    /// The endpoints of a platform: a sorted set by the last minute, kept for 31 days.
    #[must_use]
    pub fn endpoints(&self, platform: &str) -> String {
        format!("{}:endpoints", self.windows(platform))
    }

    /// The platforms that were counted: a sorted set by the last minute, kept for 31 days.
    #[must_use]
    pub fn platforms(&self) -> String {
        format!("{}platforms", self.prefix)
    }

    /// The number of a process's last batch of counts: a text, kept for 7 days.
    #[must_use]
    pub fn batch(&self, platform: &str, source: &str) -> String {
        format!("{}metrics-batch:{{{}}}:{source}", self.prefix, tag(platform))
    }

    /// A lock: a text of token, depth, request and owner, kept for the lock's ttl.
    #[must_use]
    pub fn lock(&self, name: &str) -> String {
        format!("{}lock:{{{}}}", self.prefix, tag(name))
    }

    /// The last fencing token of a lock, and the request that gave that grant back: a text, kept for a day.
    #[must_use]
    pub fn lock_token(&self, name: &str) -> String {
        format!("{}:token", self.lock(name))
    }

    /// The channel on which it is told that a lock was given back.
    #[must_use]
    pub fn lock_released(&self, name: &str) -> String {
        format!("{}:released", self.lock(name))
    }

    /// The names of locks that may be held: a sorted set by the second in which they were noted, kept for 2 days.
    #[must_use]
    pub fn locks(&self) -> String {
        format!("{}locks", self.prefix)
    }

    /// The greatest fencing token that wrote alerts: a text, kept.
    #[must_use]
    pub fn alerts_token(&self) -> String {
        format!("{}alerts:{{alerts}}:token", self.prefix)
    }

    /// The states of alert rules that are not simply inactive: a hash, kept.
    #[must_use]
    pub fn alerts_states(&self) -> String {
        format!("{}alerts:{{alerts}}:states", self.prefix)
    }

    /// What people were told: a sorted set of ids by time, each kept as long as `[alerting] history` says.
    #[must_use]
    pub fn alerts_history(&self) -> String {
        format!("{}alerts:{{alerts}}:history", self.prefix)
    }

    /// The channels on which nobody knows what became of a message: a sorted set by time, each there until it is marked.
    #[must_use]
    pub fn alerts_open(&self) -> String {
        format!("{}alerts:{{alerts}}:open", self.prefix)
    }

    /// The id of the last message: a text, kept.
    #[must_use]
    pub fn alerts_last(&self) -> String {
        format!("{}alerts:{{alerts}}:last", self.prefix)
    }

    /// One message and what became of it: a hash, kept as long as `[alerting] history` says; scripts add the id.
    #[must_use]
    pub fn alerts_message(&self, id: &str) -> String {
        format!("{}alerts:{{alerts}}:message:{id}", self.prefix)
    }
}

/// A name as a hash tag: braces would end it early, and without any text there is no tag.
fn tag(name: &str) -> String {
    if name.is_empty() {
        return "%".to_owned();
    }
    name.replace('%', "%25").replace('{', "%7b").replace('}', "%7d")
}
