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
}

/// A name as a hash tag: braces would end it early, and without any text there is no tag.
fn tag(name: &str) -> String {
    if name.is_empty() {
        return "%".to_owned();
    }
    name.replace('%', "%25").replace('{', "%7b").replace('}', "%7d")
}
