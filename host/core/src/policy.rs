//! The interface of policies: a policy reads plain values and returns a verdict, or a fault if it fails.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Failure, HostView, Snapshot};

/// The class of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// Too many calls at the moment. Retry later, after the delay that the platform requests.
    Throttled,
    /// The daily quota is used up. No call succeeds before the day ends.
    Quota,
    /// A temporary error of the platform. Retry with backoff.
    Transient,
    /// The credentials are invalid. Refresh them once, then give up.
    Auth,
    /// The call itself is invalid. The same call can never succeed.
    Permanent,
}

crate::text_enum!(Class {
    Throttled => "throttled",
    Quota => "quota",
    Transient => "transient",
    Auth => "auth",
    Permanent => "permanent",
});

/// The advice of a retry policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Retry the call.
    Retry,
    /// Do not retry the call.
    GiveUp,
    /// The policy abstains, and the next one decides: `retry/default`, then the fallback.
    Default,
}

crate::text_enum!(Action { Retry => "retry", GiveUp => "give_up", Default => "default" });

/// The verdict of a retry policy. The host enforces `max_attempts` and `deadline` of the configuration, whatever the
/// verdict is.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::{Class, Verdict};
/// let verdict = Verdict::retry(Class::Throttled).with_delay(Duration::from_secs(2));
/// assert_eq!(serde_json::to_string(&verdict).unwrap(), r#"{"action":"retry","class":"throttled","after_ms":2000}"#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Verdict {
    /// The advice.
    pub action: Action,
    /// The class of the failure; `None` if the action is [`Action::Default`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// The minimum delay, in milliseconds. It replaces the backoff if it is longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
    /// A short reason for the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Verdict {
    /// Returns a verdict to retry.
    #[must_use]
    pub const fn retry(class: Class) -> Self {
        Self { action: Action::Retry, class: Some(class), after_ms: None, reason: None }
    }

    /// Returns a verdict to give up.
    #[must_use]
    pub const fn give_up(class: Class) -> Self {
        Self { action: Action::GiveUp, class: Some(class), after_ms: None, reason: None }
    }

    /// Returns a verdict that leaves the decision to the next policy.
    #[must_use]
    pub const fn abstain() -> Self {
        Self { action: Action::Default, class: None, after_ms: None, reason: None }
    }

    /// Returns the minimum delay.
    #[must_use]
    pub fn delay(&self) -> Option<Duration> {
        self.after_ms.map(Duration::from_millis)
    }

    /// Sets the minimum delay.
    #[must_use]
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.after_ms = Some(crate::clock::millis(delay));
        self
    }

    /// Sets the reason for the log.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

/// The verdict of an alert condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AlertVerdict {
    /// The condition does not hold.
    Quiet,
    /// The condition holds.
    Firing {
        /// A short text for the notification.
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
}

impl AlertVerdict {
    /// Returns a verdict that the condition holds, with a text for the notification.
    #[must_use]
    pub fn firing(detail: impl Into<String>) -> Self {
        Self::Firing { detail: Some(detail.into()) }
    }
}

/// The kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// The policy ran longer than its deadline.
    Deadline,
    /// The policy used more operations than allowed.
    Operations,
    /// The policy needed more memory, longer strings or deeper calls than allowed.
    Memory,
    /// The policy trapped or raised an error.
    Trap,
    /// The policy returned a value that is not a verdict.
    Type,
}

crate::text_enum!(FaultKind {
    Deadline => "deadline",
    Operations => "operations",
    Memory => "memory",
    Trap => "trap",
    Type => "type",
});

/// The maximum size of a fault's message, in bytes. A message may contain text and function names of a script, which
/// have no limit.
const MAX_MESSAGE_SIZE: usize = 1_024;

/// A fault: a failure of a policy. Its verdict is not used: for a failed call the built-in fallback decides, an alert
/// rule keeps its state, and a request costs 1 at the platform's limit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The kind.
    pub kind: FaultKind,
    /// What failed, with the position in the script if it is known.
    pub message: String,
}

impl Fault {
    /// Creates a fault. Its message is truncated to 1 KiB.
    #[must_use]
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(MAX_MESSAGE_SIZE));
        Self { kind, message }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

impl std::error::Error for Fault {}

/// A policy that decides whether a failed call is retried.
pub trait RetryPolicy: Send + Sync {
    /// Returns the verdict on a failure.
    ///
    /// # Errors
    /// Returns a [`Fault`] if the policy fails.
    fn classify(&self, failure: &Failure, view: &Arc<dyn HostView>) -> Result<Verdict, Fault>;

    /// Returns whether the policy reads [`Failure::body`]. The caller may omit it otherwise. The default is false.
    fn reads_body(&self) -> bool {
        false
    }
}

/// A policy that decides whether an alert condition holds.
pub trait AlertPolicy: Send + Sync {
    /// Evaluates the condition on a snapshot.
    ///
    /// # Errors
    /// Returns a [`Fault`] if the policy fails.
    fn evaluate(&self, snapshot: &Snapshot, view: &Arc<dyn HostView>) -> Result<AlertVerdict, Fault>;
}
