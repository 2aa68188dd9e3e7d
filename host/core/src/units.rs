//! Durations as text: `250ms`, `5s`, `5m`, `1h`, `7d`.

use std::time::Duration;

/// The units of durations from the shortest to the longest, with their length in milliseconds.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// The error of a text that is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a duration such as \"250ms\", \"5s\", \"5m\", \"1h\" or \"7d\", found {text:?}")]
pub struct ParseDurationError {
    text: String,
}

/// Parses a duration: a whole number and one of the units `ms`, `s`, `m`, `h` and `d`.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::units::parse_duration;
/// assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
/// assert!(parse_duration("5 minutes").is_err());
/// ```
///
/// # Errors
/// Returns an error that says what was expected.
pub fn parse_duration(text: &str) -> Result<Duration, ParseDurationError> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = &text[digits.len()..];
    let expected = || ParseDurationError { text: text.to_owned() };
    let number: u64 = digits.parse().map_err(|_| expected())?;
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(expected)?;
    number.checked_mul(*millis).map(Duration::from_millis).ok_or_else(expected)
}

/// Formats a duration as [`parse_duration`] reads it, in the largest unit that is exact to the millisecond.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::units::format_duration;
/// assert_eq!(format_duration(Duration::from_secs(300)), "5m");
/// assert_eq!(format_duration(Duration::from_millis(1500)), "1500ms");
/// ```
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let total = crate::clock::millis(duration);
    if total == 0 {
        return "0s".to_owned();
    }
    let unit = UNITS.iter().rev().find(|(_, millis)| total.is_multiple_of(*millis));
    let (name, millis) = unit.unwrap_or(&UNITS[0]);
    format!("{}{name}", total / millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatted_duration_parses_to_the_same_duration() {
        for ms in [1, 999, 1_000, 59_000, 60_000, 90_000, 3_600_000, 86_400_000, 604_800_000] {
            let duration = Duration::from_millis(ms);
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
    }

    #[test]
    fn invalid_duration_is_rejected_with_the_expected_format() {
        for text in ["", "5", "s", "-5s", "5.5s", "5 s", "5min", "99999999999999999999d"] {
            assert!(
                parse_duration(text).is_err_and(|error| error.to_string().contains("expected a duration")),
                "{text}"
            );
        }
    }
}
