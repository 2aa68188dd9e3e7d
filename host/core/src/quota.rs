//! How much may be done: a rate and the burst it allows.

use std::fmt;
use std::time::Duration;

use crate::clock::micros;
use crate::units::{parse_duration, show_duration};

/// The largest level a bucket may hold in its finest unit: sums of a few such are what a double (and so Lua) still
/// counts exactly.
const MAX_LEVEL: u128 = 1 << 51;

/// The most units that may flow in a microsecond: in the 30 s for which calls may queue, no more than [`MAX_LEVEL`].
const MAX_FLOW: u128 = MAX_LEVEL / 30_000_000;

/// So many tokens in each period: `40/s`, `10000/60s`, `5000/d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    tokens: u64,
    period: Duration,
}

/// Why a rate or a quota cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// The text is not `tokens/period`.
    #[error("expected tokens and a period such as \"40/s\", \"300/m\" or \"10000/60s\", not {0:?}")]
    Syntax(String),
    /// No tokens at all would refuse every call.
    #[error("a rate must be above zero; to stop a platform's calls, do not call it")]
    ZeroRate,
    /// A period must last.
    #[error("a rate's period must be above zero")]
    ZeroPeriod,
    /// With no burst not even one call fits.
    #[error("a burst must be at least 1, or no call would ever fit")]
    ZeroBurst,
    /// Beyond what can be counted exactly.
    #[error(
        "a rate of {rate} with a burst of {burst} is beyond exact counting; use a smaller burst or a shorter period"
    )]
    TooLarge {
        /// The rate that was asked for.
        rate: Rate,
        /// The burst that was asked for.
        burst: u64,
    },
}

impl Rate {
    /// So many tokens in each `period` (whole microseconds count).
    ///
    /// # Errors
    /// Where tokens or period are zero.
    pub fn new(tokens: u64, period: Duration) -> Result<Self, QuotaError> {
        match (tokens, micros(period)) {
            (0, _) => Err(QuotaError::ZeroRate),
            (_, 0) => Err(QuotaError::ZeroPeriod),
            (_, period_us) => Ok(Self { tokens, period: Duration::from_micros(period_us) }),
        }
    }

    /// Reads `tokens/period`, the period being a unit (`s`, `m`, `h`, `d`, `ms`) or a duration (`60s`).
    ///
    /// ```
    /// use tidegate_core::Rate;
    /// assert_eq!(Rate::parse("300/m").unwrap().per_second(), 5.0);
    /// assert!(Rate::parse("0/s").is_err());
    /// ```
    ///
    /// # Errors
    /// Where the text has another shape, or tokens or period are zero.
    pub fn parse(text: &str) -> Result<Self, QuotaError> {
        let syntax = || QuotaError::Syntax(text.to_owned());
        let (tokens, period) = text.split_once('/').ok_or_else(syntax)?;
        let tokens = tokens.trim().parse().map_err(|_| syntax())?;
        let period = period.trim();
        let counted = period.starts_with(|c: char| c.is_ascii_digit());
        let period = if counted { parse_duration(period) } else { parse_duration(&format!("1{period}")) };
        Self::new(tokens, period.map_err(|_| syntax())?)
    }

    /// Tokens in each period.
    #[must_use]
    pub const fn tokens(self) -> u64 {
        self.tokens
    }

    /// The period.
    #[must_use]
    pub const fn period(self) -> Duration {
        self.period
    }

    /// Tokens a second, for people; decisions are made in integers.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a figure to read")]
    pub fn per_second(self) -> f64 {
        self.tokens as f64 / self.period.as_secs_f64()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = show_duration(self.period);
        let unit = period.strip_prefix('1').filter(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
        write!(f, "{}/{}", self.tokens, unit.unwrap_or(&period))
    }
}

/// A rate and the burst that may be spent at once: the settings of a token bucket.
///
/// ```
/// use tidegate_core::{Quota, Rate};
/// let quota = Quota::new(Rate::parse("40/s").unwrap(), 40).unwrap();
/// assert_eq!(quota.to_string(), "40/s, burst 40");
/// assert!(Quota::new(quota.rate(), 0).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    rate: Rate,
    burst: u64,
    /// `rate` in lowest terms: this many units flow in each microsecond …
    units_per_us: u64,
    /// … and this many units are one token.
    units_per_token: u64,
}

impl Quota {
    /// A quota of `rate` with at most `burst` tokens saved up.
    ///
    /// # Errors
    /// Where the burst is zero or the product of burst and period cannot be counted exactly.
    pub fn new(rate: Rate, burst: u64) -> Result<Self, QuotaError> {
        if burst == 0 {
            return Err(QuotaError::ZeroBurst);
        }
        let period_us = micros(rate.period);
        let divisor = gcd(rate.tokens, period_us);
        let (units_per_us, units_per_token) = (rate.tokens / divisor, period_us / divisor);
        let level = u128::from(burst) * u128::from(units_per_token);
        if level > MAX_LEVEL || u128::from(units_per_us) > MAX_FLOW {
            return Err(QuotaError::TooLarge { rate, burst });
        }
        Ok(Self { rate, burst, units_per_us, units_per_token })
    }

    /// The rate at which tokens come.
    #[must_use]
    pub const fn rate(self) -> Rate {
        self.rate
    }

    /// The most tokens that can be saved up; a greater cost never fits.
    #[must_use]
    pub const fn burst(self) -> u64 {
        self.burst
    }

    /// Units that flow in each microsecond.
    #[must_use]
    pub const fn units_per_us(self) -> u64 {
        self.units_per_us
    }

    /// Units that make one token.
    #[must_use]
    pub const fn units_per_token(self) -> u64 {
        self.units_per_token
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, burst {}", self.rate, self.burst)
    }
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_shown_alike() {
        for text in ["40/s", "300/m", "10000/60s", "5000/d", "1/2h", "3/250ms"] {
            let shown = Rate::parse(text).unwrap().to_string();
            assert_eq!(Rate::parse(&shown), Rate::parse(text), "{text} was shown as {shown}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (text, why) in
            [("0/s", "above zero"), ("5/0s", "period"), ("5", "expected tokens"), ("5/fortnight", "expected tokens")]
        {
            assert!(Rate::parse(text).unwrap_err().to_string().contains(why), "{text}");
        }
        let rate = Rate::parse("1/365d").unwrap();
        assert!(matches!(Quota::new(rate, 0), Err(QuotaError::ZeroBurst)));
        assert!(matches!(Quota::new(rate, 1_000_000), Err(QuotaError::TooLarge { .. })));
    }

    #[test]
    fn odd_rates_lose_nothing() {
        let quota = Quota::new(Rate::parse("3/s").unwrap(), 1).unwrap();
        assert_eq!((quota.units_per_us(), quota.units_per_token()), (3, 1_000_000));
        let quota = Quota::new(Rate::parse("350000/s").unwrap(), 7).unwrap();
        assert_eq!((quota.units_per_us(), quota.units_per_token()), (7, 20));
    }
}
