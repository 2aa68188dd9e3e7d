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

    /// The bucket of a platform: a hash, kept.
    #[must_use]
    pub fn limit(&self, platform: &str) -> String {
        format!("{}limit:{{{platform}}}", self.prefix)
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
}
