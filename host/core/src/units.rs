//! Durations as people write them: `250ms`, `5s`, `5m`, `1h`, `7d`.

use std::time::Duration;

/// The units a duration may carry, longest name first, with their length in milliseconds.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a duration: a whole number and one of `ms`, `s`, `m`, `h`, `d`.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::units::parse_duration;
/// assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
/// assert!(parse_duration("5 minutes").is_err());
/// ```
///
/// # Errors
/// One sentence that says what was expected, fit to stand behind a position.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = &text[digits.len()..];
    let expected = || format!("expected a duration such as \"250ms\", \"5s\", \"5m\", \"1h\" or \"7d\", not {text:?}");
    let number: u64 = digits.parse().map_err(|_| expected())?;
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(expected)?;
    number.checked_mul(*millis).map(Duration::from_millis).ok_or_else(expected)
}

/// Writes a duration the way [`parse_duration`] reads it, in the largest unit that loses nothing above a millisecond.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::units::show_duration;
/// assert_eq!(show_duration(Duration::from_secs(300)), "5m");
/// assert_eq!(show_duration(Duration::from_millis(1500)), "1500ms");
/// ```
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let total = crate::clock::millis(duration);
    if total == 0 {
        return "0s".to_owned();
    }
    let fits = UNITS.iter().rev().find(|(_, millis)| total.is_multiple_of(*millis));
    let (name, millis) = fits.unwrap_or(&UNITS[0]);
    format!("{}{name}", total / millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for ms in [1, 999, 1_000, 59_000, 60_000, 90_000, 3_600_000, 86_400_000, 604_800_000] {
            let duration = Duration::from_millis(ms);
            assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
        }
    }

    #[test]
    fn nonsense_is_refused_with_what_was_expected() {
        for text in ["", "5", "s", "-5s", "5.5s", "5 s", "5min", "99999999999999999999d"] {
            assert!(parse_duration(text).is_err_and(|e| e.contains("expected a duration")), "{text}");
        }
    }
}
