//! The scripts that run inside Redis: one a file, its contract in its header, the number of its keys in its name.

/// The text of a script and the number of its keys.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    /// The name of its file.
    pub name: &'static str,
    /// Lua 5.1 as Redis runs it.
    pub text: &'static str,
    /// How many keys it takes.
    pub keys: usize,
}

/// Makes a constant of each file and the list of all.
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
    /// The states of alert rules.
    ALERTS_LOOK = "alerts_look", 2;
    /// What became of a message.
    ALERTS_MARK = "alerts_mark", 2;
    /// What one tick of the leader changes.
    ALERTS_WRITE = "alerts_write", 5;
    /// Operations on one platform's bucket.
    LIMIT = "limit", 4;
    /// Takes a lock.
    LOCK_ACQUIRE = "lock_acquire", 2;
    /// Takes a lock away from whoever holds it.
    LOCK_EVICT = "lock_evict", 1;
    /// Lets a lock end later.
    LOCK_EXTEND = "lock_extend", 1;
    /// Notes the name of a lock for people.
    LOCK_INDEX = "lock_index", 1;
    /// Gives a lock back.
    LOCK_RELEASE = "lock_release", 2;
    /// Adds a batch of counts, once.
    METRICS_ADD = "metrics_add", 4;
    /// Names that were counted lately.
    METRICS_NAMES = "metrics_names", 1;
    /// The time, and the minutes that are not rolled up yet.
    METRICS_PENDING = "metrics_pending", 1;
    /// Adds a minute to its hour and its day, once.
    METRICS_ROLL = "metrics_roll", 5;
    /// The heartbeat of a process.
    PRESENCE = "presence", 1;
}
