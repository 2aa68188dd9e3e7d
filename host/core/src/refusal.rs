//! The result of a limit for one call: allowed, or refused.

use std::fmt;
use std::time::Duration;

use crate::clock::millis_rounded_up;

/// A call that a limit allowed. Its cost was taken from the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Allowed {
    /// The whole tokens that are left after this call.
    pub remaining: u64,
}

impl Allowed {
    /// Creates the result for a call that leaves `remaining` whole tokens.
    #[must_use]
    pub const fn new(remaining: u64) -> Self {
        Self { remaining }
    }
}

/// A call that a limit refused. A refusal takes nothing from the limit.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::Refusal;
/// let refusal = Refusal::Limited { retry_after: Duration::from_millis(1_500) };
/// assert_eq!(refusal.retry_after(), Some(Duration::from_millis(1_500)));
/// assert_eq!(refusal.to_string(), "rate limit reached; retry after 1500 ms");
/// assert_eq!(Refusal::Never { max_cost: 40 }.retry_after(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The cost does not fit now. It fits after this time, if no other call takes the tokens.
    Limited {
        /// The time until the cost fits.
        retry_after: Duration,
    },
    /// The cost is above the burst and can never fit.
    Never {
        /// The greatest cost that fits.
        max_cost: u64,
    },
}

impl Refusal {
    /// Returns the time until the same cost fits; `None` if it never fits.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Limited { retry_after } => Some(*retry_after),
            Self::Never { .. } => None,
        }
    }

    /// Returns whether the same cost never fits, so that a later attempt is refused too.
    #[must_use]
    pub const fn is_never(&self) -> bool {
        matches!(self, Self::Never { .. })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limited { retry_after } => {
                write!(f, "rate limit reached; retry after {} ms", millis_rounded_up(*retry_after))
            }
            Self::Never { max_cost } => {
                write!(f, "the cost is above the burst and never fits; the greatest is {max_cost}")
            }
        }
    }
}

impl std::error::Error for Refusal {}
