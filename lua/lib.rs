//! The scripts that tidegate runs inside Redis, one script in each file.
//!
//! The header of each file describes the keys, arguments and reply of the script. The number at the end of a file name
//! is the number of keys.

/// The text of a script and the number of its keys.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    /// The file name without the number of keys and the extension.
    pub name: &'static str,
    /// The source, in Lua 5.1, the version that Redis runs.
    pub text: &'static str,
    /// The number of keys that the script takes.
    pub keys: usize,
}

/// Defines a constant for each file, and the list of all.
macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal, $keys:literal;)*) => {
        $($(#[$doc])* pub const $name: Script = Script {
            name: $file,
            text: include_str!(concat!($file, "_", $keys, ".lua")),
            keys: $keys,
        };)*

        /// Every script.
        pub const ALL: &[Script] = &[$($name),*];
    };
}

scripts! {
    /// Adds what a process kept in memory about built-in alerts while Redis was unavailable. A repeated notification is
    /// added only once.
    ALERTS_ADD_OFFLINE = "alerts_add_offline", 5;
    /// Records the result of delivering a notification to one channel.
    ALERTS_RECORD_DELIVERY = "alerts_record_delivery", 2;
    /// Returns the states of alert rules, and registers the fencing token of a leader.
    ALERTS_STATES = "alerts_states", 2;
    /// Writes the state changes and notifications of one tick of the leader.
    ALERTS_WRITE = "alerts_write", 5;
    /// Runs a batch of operations on one platform's bucket.
    LIMIT = "limit", 4;
    /// Acquires a lock.
    LOCK_ACQUIRE = "lock_acquire", 2;
    /// Releases a lock regardless of its owner.
    LOCK_FORCE_RELEASE = "lock_force_release", 1;
    /// Extends a lock.
    LOCK_EXTEND = "lock_extend", 1;
    /// Adds a lock's name to the index from which locks are listed.
    LOCK_INDEX = "lock_index", 1;
    /// Releases a lock.
    LOCK_RELEASE = "lock_release", 2;
    /// Adds a batch of counts. A repeated batch is added only once.
    METRICS_ADD = "metrics_add", 4;
    /// Adds and returns the names of platforms or endpoints that have metrics.
    METRICS_NAMES = "metrics_names", 1;
    /// Returns the time and the minutes that are not rolled up yet.
    METRICS_PENDING = "metrics_pending", 1;
    /// Adds the counts of a minute to the totals of its hour and day. A repeated minute is added only once.
    METRICS_ROLL = "metrics_roll", 5;
    /// Records a heartbeat of a process and returns the number of processes.
    PRESENCE = "presence", 2;
}
