//! The contract with policies: plain values in, a verdict out, a fault when the policy misbehaves.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Failure, Snapshot, View};

/// What kind of trouble a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Too many calls just now: later, after the wait the platform gave.
    Throttled,
    /// The day's calls are used up: nothing before the day ends.
    Quota,
    /// The platform's own passing trouble: again, with backoff.
    Transient,
    /// The credentials: refresh them once, else give up.
    Auth,
    /// The call itself: the same call can never succeed.
    Permanent,
}

/// What a retry policy advises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Call again.
    Retry,
    /// Do not call again.
    GiveUp,
    /// No opinion: the next policy decides (`retry/default`, then the fallback).
    Default,
}

/// The answer of a retry policy; the host clamps it by attempts, cap and deadline.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::{Class, Verdict};
/// let verdict = Verdict::retry(Class::Throttled).after(Duration::from_secs(2));
/// assert_eq!(serde_json::to_string(&verdict).unwrap(), r#"{"action":"retry","class":"throttled","after_ms":2000}"#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Call again, or not, or no opinion.
    pub action: Action,
    /// The kind of trouble; `None` where the action is [`Action::Default`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// Wait at least this many milliseconds; where it is longer than the backoff, it replaces it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
    /// A few words for the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Verdict {
    /// Advice to call again.
    #[must_use]
    pub const fn retry(class: Class) -> Self {
        Self { action: Action::Retry, class: Some(class), after_ms: None, reason: None }
    }

    /// Advice to stop.
    #[must_use]
    pub const fn give_up(class: Class) -> Self {
        Self { action: Action::GiveUp, class: Some(class), after_ms: None, reason: None }
    }

    /// No opinion.
    #[must_use]
    pub const fn abstain() -> Self {
        Self { action: Action::Default, class: None, after_ms: None, reason: None }
    }

    /// The same with a least wait.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.after_ms = Some(crate::clock::millis(wait));
        self
    }

    /// The same with a reason for the log.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

/// The answer of an alert policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AlertVerdict {
    /// All is well.
    Quiet,
    /// The condition holds.
    Firing {
        /// A few words for the message.
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
}

/// How a policy misbehaved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// It ran longer than its deadline.
    Deadline,
    /// It took more operations than allowed.
    Operations,
    /// It wanted more memory, longer texts or deeper calls than allowed.
    Memory,
    /// It trapped or raised an error.
    Trap,
    /// It answered with something that is not a verdict.
    Type,
}

impl FaultKind {
    /// Every kind, in the order of declaration.
    pub const ALL: [Self; 5] = [Self::Deadline, Self::Operations, Self::Memory, Self::Trap, Self::Type];

    /// The kind as metrics and status name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Operations => "operations",
            Self::Memory => "memory",
            Self::Trap => "trap",
            Self::Type => "type",
        }
    }
}

/// The longest message of a fault, in bytes: a script may throw a text of its own, and a function has any name.
const MAX_MESSAGE: usize = 1_024;

/// One misbehaviour of a policy; the built-in fallback decides in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// What happened, with the position where one is known.
    pub message: String,
}

impl Fault {
    /// A fault of this kind; a message that is too long for logs and pages is cut.
    #[must_use]
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        Self { kind, message }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.message)
    }
}

impl std::error::Error for Fault {}

/// Decides whether a failed call is worth another attempt.
pub trait RetryPolicy: Send + Sync {
    /// The verdict on one failure.
    ///
    /// # Errors
    /// A [`Fault`] where the policy misbehaved.
    fn classify(&self, failure: &Failure, view: &Arc<dyn View>) -> Result<Verdict, Fault>;
}

/// Decides whether a condition holds.
pub trait AlertPolicy: Send + Sync {
    /// The verdict on one snapshot.
    ///
    /// # Errors
    /// A [`Fault`] where the policy misbehaved.
    fn evaluate(&self, snapshot: &Snapshot, view: &Arc<dyn View>) -> Result<AlertVerdict, Fault>;
}
