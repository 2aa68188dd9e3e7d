//! The alerts that tidegate raises about itself.

use std::time::Duration;

use crate::{AlertTiming, Severity};

/// The minimum time between two notifications that say that a built-in alert fires.
const COOLDOWN: Duration = Duration::from_secs(300);

/// An alert that tidegate raises about itself, without a rule in `alerts.toml`.
///
/// Its states, notifications and history are those of any other alert. The subject of the alert takes the place of the
/// platform in an [`AlertKey`](crate::store::AlertKey) and a [`Notification`](crate::Notification).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum BuiltinAlert {
    /// The leader cannot use the Redis that processes share. The subject is `redis`.
    RedisUnavailable,
    /// A policy was quarantined because it faulted too often. The subject is the path of the policy.
    PolicyQuarantined,
    /// The processes that share a Redis have different policies or alert rules. The subject is `fleet`.
    PoliciesDiffer,
}

crate::text_enum!(BuiltinAlert {
    RedisUnavailable => "redis_unavailable",
    PolicyQuarantined => "policy_quarantined",
    PoliciesDiffer => "policies_differ",
});

impl BuiltinAlert {
    /// Returns the severity.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::RedisUnavailable => Severity::Critical,
            Self::PolicyQuarantined | Self::PoliciesDiffer => Severity::Warning,
        }
    }

    /// Returns the times that control when the alert fires.
    #[must_use]
    pub const fn timing(self) -> AlertTiming {
        let hold = match self {
            // A short outage, for example a failover, is no incident.
            Self::RedisUnavailable => Duration::from_secs(3),
            Self::PolicyQuarantined => Duration::ZERO,
            // A rolling deployment changes one process after the other.
            Self::PoliciesDiffer => Duration::from_secs(60),
        };
        AlertTiming { hold, cooldown: COOLDOWN }
    }

    /// Returns the condition, as notifications show it.
    #[must_use]
    pub const fn condition(self) -> &'static str {
        match self {
            Self::RedisUnavailable => "the leader cannot use Redis",
            Self::PolicyQuarantined => "a policy reached its fault threshold",
            Self::PoliciesDiffer => "processes of the fleet have different policies or alert rules",
        }
    }
}
