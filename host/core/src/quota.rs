//! Rates and quotas: the settings of a limit.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::micros;
use crate::units::{format_duration, parse_duration};

/// The maximum level of a bucket, in units. Lua computes with doubles, which represent the sum of a few such levels
/// exactly.
const MAX_LEVEL: u128 = 1 << 51;

/// The maximum number of units that are refilled per microsecond. With it, at most [`MAX_LEVEL`] units are refilled in
/// 30 s, the maximum time for which calls wait in a queue.
const MAX_UNITS_PER_US: u128 = MAX_LEVEL / 30_000_000;

/// A number of tokens per period, such as `40/s`, `10000/60s` or `5000/d`.
///
/// ```
/// use tidegate_core::Rate;
/// let rate: Rate = "300/m".parse()?;
/// assert_eq!((rate.tokens_per_second(), rate.to_string()), (5.0, "300/m".to_owned()));
/// assert!("0/s".parse::<Rate>().is_err());
/// # Ok::<(), tidegate_core::QuotaError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Rate {
    tokens: u64,
    period: Duration,
}

/// The error of an invalid rate or quota.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
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
    pub fn tokens_per_second(self) -> f64 {
        self.tokens as f64 / self.period.as_secs_f64()
    }
}

/// Parses `tokens/period`. The period is a unit (`s`, `m`, `h`, `d`, `ms`) or a duration (`60s`).
impl FromStr for Rate {
    type Err = QuotaError;

    fn from_str(text: &str) -> Result<Self, QuotaError> {
        let syntax = || QuotaError::Syntax(text.to_owned());
        let (tokens, period) = text.split_once('/').ok_or_else(syntax)?;
        let tokens = tokens.trim().parse().map_err(|_| syntax())?;
        let period = period.trim();
        let has_number = period.starts_with(|c: char| c.is_ascii_digit());
        let period = if has_number { parse_duration(period) } else { parse_duration(&format!("1{period}")) };
        Self::new(tokens, period.map_err(|_| syntax())?)
    }
}

impl TryFrom<String> for Rate {
    type Error = QuotaError;

    fn try_from(text: String) -> Result<Self, QuotaError> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
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
/// use std::num::NonZeroU32;
/// use tidegate_core::Quota;
/// let forty = NonZeroU32::new(40).unwrap();
/// assert_eq!(Quota::per_second(forty).to_string(), "40/s, burst 40");
/// let quota = Quota::per_minute(forty).with_burst(5)?;
/// assert_eq!(quota.to_string(), "40/m, burst 5");
/// assert!(quota.with_burst(0).is_err());
/// assert_eq!(Quota::new("2/h".parse()?, 10)?.to_string(), "2/h, burst 10");
/// # Ok::<(), tidegate_core::QuotaError>(())
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
        let quota = Self::counted(rate, burst);
        let level = u128::from(burst) * u128::from(quota.units_per_token);
        if level > MAX_LEVEL || u128::from(quota.units_per_us) > MAX_UNITS_PER_US {
            return Err(QuotaError::TooLarge { rate, burst });
        }
        Ok(quota)
    }

    /// Computes the units of a quota, without a check of its size.
    fn counted(rate: Rate, burst: u64) -> Self {
        let period_us = micros(rate.period);
        let divisor = gcd(rate.tokens, period_us);
        Self { rate, burst, units_per_us: rate.tokens / divisor, units_per_token: period_us / divisor }
    }

    /// Creates a quota of `tokens` per second with a burst of the same size.
    ///
    /// Huge numbers are lowered to what can be counted exactly: the burst to 2,251,799,813, and a rate above 75,000,000
    /// to whole millions.
    #[must_use]
    pub fn per_second(tokens: NonZeroU32) -> Self {
        Self::per(tokens, 1_000_000)
    }

    /// Creates a quota of `tokens` per minute with a burst of the same size.
    ///
    /// Huge numbers are lowered to what can be counted exactly: the burst to 37,529,996, and a rate above 75,000,000 to
    /// whole millions.
    #[must_use]
    pub fn per_minute(tokens: NonZeroU32) -> Self {
        Self::per(tokens, 60_000_000)
    }

    /// Creates the quota of `tokens` per period, with the same burst or the greatest that can be counted.
    fn per(tokens: NonZeroU32, period_us: u64) -> Self {
        let mut tokens = u64::from(tokens.get());
        if u128::from(tokens) > MAX_UNITS_PER_US {
            // Whole millions share a factor of a million with the period, so fewer units are refilled per microsecond.
            tokens -= tokens % 1_000_000;
        }
        let max_burst = u64::try_from(MAX_LEVEL / u128::from(period_us)).unwrap_or(u64::MAX);
        let rate = Rate { tokens, period: Duration::from_micros(period_us) };
        Self::counted(rate, tokens.min(max_burst))
    }

    /// Returns this quota with another burst.
    ///
    /// # Errors
    /// Returns an error if the burst is zero or too large to be counted exactly.
    pub fn with_burst(self, burst: u64) -> Result<Self, QuotaError> {
        Self::new(self.rate, burst)
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
            let displayed = text.parse::<Rate>().unwrap().to_string();
            assert_eq!(displayed.parse::<Rate>(), text.parse::<Rate>(), "{text} was displayed as {displayed}");
        }
    }

    #[test]
    fn invalid_rate_or_quota_is_rejected() {
        for (text, reason) in
            [("0/s", "above zero"), ("5/0s", "period"), ("5", "expected tokens"), ("5/fortnight", "expected tokens")]
        {
            assert!(text.parse::<Rate>().unwrap_err().to_string().contains(reason), "{text}");
        }
        let rate = "1/365d".parse().unwrap();
        assert!(matches!(Quota::new(rate, 0), Err(QuotaError::ZeroBurst)));
        assert!(matches!(Quota::new(rate, 1_000_000), Err(QuotaError::TooLarge { .. })));
    }

    #[test]
    fn infallible_constructors_give_quotas_that_new_accepts() {
        for tokens in [1, 3, 40, 999_983, 37_529_997, 75_059_993, 75_059_994, 2_251_799_814, u32::MAX] {
            let tokens = NonZeroU32::new(tokens).unwrap();
            for quota in [Quota::per_second(tokens), Quota::per_minute(tokens)] {
                assert_eq!(Quota::new(quota.rate(), quota.burst()), Ok(quota));
                let lowered = u64::from(tokens.get()) - quota.rate().tokens();
                assert!(lowered < 1_000_000 && (lowered == 0 || tokens.get() > 75_000_000), "{tokens}: {quota}");
            }
        }
        assert_eq!(Quota::per_second(NonZeroU32::MAX).burst(), 2_251_799_813);
        assert_eq!(Quota::per_minute(NonZeroU32::MAX).burst(), 37_529_996);
    }

    #[test]
    fn rate_is_kept_as_an_exact_fraction() {
        let quota = Quota::new("3/s".parse().unwrap(), 1).unwrap();
        assert_eq!((quota.units_per_us(), quota.units_per_token()), (3, 1_000_000));
        let quota = Quota::new("350000/s".parse().unwrap(), 7).unwrap();
        assert_eq!((quota.units_per_us(), quota.units_per_token()), (7, 20));
    }
}
