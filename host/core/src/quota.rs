//! Rates and quotas: the settings of a limit.

use std::fmt;
use std::time::Duration;

use crate::clock::micros;
use crate::units::{format_duration, parse_duration};

/// The maximum level of a bucket, in units. Lua computes with doubles, which represent the sum of a few such levels
/// exactly.
const MAX_LEVEL: u128 = 1 << 51;

/// The maximum number of units that are refilled per microsecond. With it, at most [`MAX_LEVEL`] units are refilled in
/// 30 s, the maximum time for which calls wait in a queue.
const MAX_UNITS_PER_US: u128 = MAX_LEVEL / 30_000_000;

/// A number of tokens per period, such as `40/s`, `10000/60s` or `5000/d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    tokens: u64,
    period: Duration,
}

/// The error of an invalid rate or quota.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// The text is not `tokens/period`.
    #[error("expected tokens and a period such as \"40/s\", \"300/m\" or \"10000/60s\", found {0:?}")]
    Syntax(String),
    /// The rate is zero and would refuse every call.
    #[error("a rate must be above zero; a rate of zero would refuse every call")]
    ZeroRate,
    /// The period is zero.
    #[error("the period of a rate must be above zero")]
    ZeroPeriod,
    /// The burst is zero and would refuse every call.
    #[error("expected a whole number of at least 1, found 0")]
    ZeroBurst,
    /// The quota is too large to be counted exactly.
    #[error(
        "a rate of {rate} with a burst of {burst} cannot be counted exactly; use a smaller burst or a shorter period"
    )]
    TooLarge {
        /// The requested rate.
        rate: Rate,
        /// The requested burst.
        burst: u64,
    },
}

impl Rate {
    /// Creates a rate of `tokens` per `period`. The period is rounded down to whole microseconds.
    ///
    /// # Errors
    /// Returns an error if the tokens or the period are zero.
    pub fn new(tokens: u64, period: Duration) -> Result<Self, QuotaError> {
        match (tokens, micros(period)) {
            (0, _) => Err(QuotaError::ZeroRate),
            (_, 0) => Err(QuotaError::ZeroPeriod),
            (_, period_us) => Ok(Self { tokens, period: Duration::from_micros(period_us) }),
        }
    }

    /// Parses `tokens/period`. The period is a unit (`s`, `m`, `h`, `d`, `ms`) or a duration (`60s`).
    ///
    /// ```
    /// use tidegate_core::Rate;
    /// assert_eq!(Rate::parse("300/m").unwrap().per_second(), 5.0);
    /// assert!(Rate::parse("0/s").is_err());
    /// ```
    ///
    /// # Errors
    /// Returns an error if the text has another format, or if the tokens or the period are zero.
    pub fn parse(text: &str) -> Result<Self, QuotaError> {
        let syntax = || QuotaError::Syntax(text.to_owned());
        let (tokens, period) = text.split_once('/').ok_or_else(syntax)?;
        let tokens = tokens.trim().parse().map_err(|_| syntax())?;
        let period = period.trim();
        let has_number = period.starts_with(|c: char| c.is_ascii_digit());
        let period = if has_number { parse_duration(period) } else { parse_duration(&format!("1{period}")) };
        Self::new(tokens, period.map_err(|_| syntax())?)
    }

    /// Returns the tokens per period.
    #[must_use]
    pub const fn tokens(self) -> u64 {
        self.tokens
    }

    /// Returns the period.
    #[must_use]
    pub const fn period(self) -> Duration {
        self.period
    }

    /// Returns the tokens per second, for display. Decisions use integers.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "the number is only displayed")]
    pub fn per_second(self) -> f64 {
        self.tokens as f64 / self.period.as_secs_f64()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = format_duration(self.period);
        let unit = period.strip_prefix('1').filter(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
        write!(f, "{}/{}", self.tokens, unit.unwrap_or(&period))
    }
}

/// A rate and a burst: the settings of a token bucket.
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
    /// The units that are refilled per microsecond. The rate in tokens per microsecond is the reduced fraction
    /// `units_per_us / units_per_token`, so that both are whole numbers.
    units_per_us: u64,
    /// The units of one token.
    units_per_token: u64,
}

impl Quota {
    /// Creates a quota of `rate` with a bucket of `burst` tokens.
    ///
    /// # Errors
    /// Returns an error if the burst is zero, or if the rate and the burst are too large to be counted exactly.
    pub fn new(rate: Rate, burst: u64) -> Result<Self, QuotaError> {
        if burst == 0 {
            return Err(QuotaError::ZeroBurst);
        }
        let period_us = micros(rate.period);
        let divisor = gcd(rate.tokens, period_us);
        let (units_per_us, units_per_token) = (rate.tokens / divisor, period_us / divisor);
        let level = u128::from(burst) * u128::from(units_per_token);
        if level > MAX_LEVEL || u128::from(units_per_us) > MAX_UNITS_PER_US {
            return Err(QuotaError::TooLarge { rate, burst });
        }
        Ok(Self { rate, burst, units_per_us, units_per_token })
    }

    /// Returns the rate at which tokens are refilled.
    #[must_use]
    pub const fn rate(self) -> Rate {
        self.rate
    }

    /// Returns the capacity of the bucket, in tokens. A greater cost never fits.
    #[must_use]
    pub const fn burst(self) -> u64 {
        self.burst
    }

    /// Returns the units that are refilled per microsecond.
    #[must_use]
    pub const fn units_per_us(self) -> u64 {
        self.units_per_us
    }

    /// Returns the units of one token.
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
    fn displayed_rate_parses_to_the_same_rate() {
        for text in ["40/s", "300/m", "10000/60s", "5000/d", "1/2h", "3/250ms"] {
            let displayed = Rate::parse(text).unwrap().to_string();
            assert_eq!(Rate::parse(&displayed), Rate::parse(text), "{text} was displayed as {displayed}");
        }
    }

    #[test]
    fn invalid_rate_or_quota_is_rejected() {
        for (text, reason) in
            [("0/s", "above zero"), ("5/0s", "period"), ("5", "expected tokens"), ("5/fortnight", "expected tokens")]
        {
            assert!(Rate::parse(text).unwrap_err().to_string().contains(reason), "{text}");
        }
        let rate = Rate::parse("1/365d").unwrap();
        assert!(matches!(Quota::new(rate, 0), Err(QuotaError::ZeroBurst)));
        assert!(matches!(Quota::new(rate, 1_000_000), Err(QuotaError::TooLarge { .. })));
    }

    #[test]
    fn rate_is_kept_as_an_exact_fraction() {
        let quota = Quota::new(Rate::parse("3/s").unwrap(), 1).unwrap();
        assert_eq!((quota.units_per_us(), quota.units_per_token()), (3, 1_000_000));
        let quota = Quota::new(Rate::parse("350000/s").unwrap(), 7).unwrap();
        assert_eq!((quota.units_per_us(), quota.units_per_token()), (7, 20));
    }
}
