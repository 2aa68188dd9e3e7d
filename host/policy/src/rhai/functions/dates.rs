//! Script functions that read the times that platforms send.

use jiff::fmt::temporal::DateTimeParser;
use jiff::{Timestamp, ToSpan};
use rhai::EvalAltResult;

use crate::rhai::values::{float, mismatch};

static PARSER: DateTimeParser = DateTimeParser::new();

/// Parses a time as milliseconds since 1970: an integer of 13 digits, or ISO 8601. Returns 0 for any other string.
pub fn epoch_ms(text: &str) -> f64 {
    let text = text.trim();
    let is_ms = text.len() == 13 && text.bytes().all(|byte| byte.is_ascii_digit());
    let ms = if is_ms { text.parse().ok() } else { text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond) };
    ms.and_then(|ms: i64| u64::try_from(ms).ok()).map_or(0.0, float)
}

/// Returns the milliseconds from `at_ms` until the next midnight in a time zone such as `Asia/Shanghai` or `+08:00`;
/// 0 if `at_ms` is 0.
///
/// # Errors
/// Returns an error if the time zone is unknown.
pub fn day_ends_in_ms(at_ms: f64, zone: &str) -> Result<f64, Box<EvalAltResult>> {
    let zone = PARSER
        .parse_time_zone(zone)
        .map_err(|_| mismatch("a time zone such as \"UTC\", \"Asia/Shanghai\" or \"+08:00\"", &format!("{zone:?}")))?;
    if at_ms <= 0.0 || !at_ms.is_finite() {
        return Ok(0.0);
    }
    #[expect(clippy::cast_possible_truncation, reason = "a time out of range saturates, and is rejected below")]
    let at = Timestamp::from_millisecond(at_ms as i64);
    let at = at.map_err(|_| mismatch("milliseconds since 1970", &at_ms.to_string()))?.to_zoned(zone);
    let midnight = at.start_of_day().and_then(|day| day.checked_add(1.day())).and_then(|day| day.start_of_day());
    let midnight = midnight.map_err(|_| mismatch("a time within the calendar", &at_ms.to_string()))?;
    let left = midnight.timestamp().as_millisecond() - at.timestamp().as_millisecond();
    Ok(u64::try_from(left).map_or(0.0, float))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_parsed_as_milliseconds_or_iso_8601() {
        let rows = [
            ("1763913600000", 1_763_913_600_000.0),
            (" 1763913600000 ", 1_763_913_600_000.0),
            ("2025-11-23T16:00:00Z", 1_763_913_600_000.0),
            ("2025-11-23T16:00:00.500+00:00", 1_763_913_600_500.0),
            // Seconds, since 1970 or from now, are not milliseconds.
            ("1763913600", 0.0),
            ("30", 0.0),
            ("soon", 0.0),
            ("", 0.0),
        ];
        for (text, expected) in rows {
            assert!((epoch_ms(text) - expected).abs() < 0.5, "{text}: {}", epoch_ms(text));
        }
    }

    #[test]
    fn day_ends_at_midnight_in_the_time_zone() {
        let ten_past = epoch_ms("2026-11-23T16:10:00Z");
        let hour = 3_600_000.0;
        let rows = [
            ("UTC", 7.0 * hour + hour * 50.0 / 60.0),
            ("Asia/Shanghai", 23.0 * hour + hour * 50.0 / 60.0),
            ("+08:00", 23.0 * hour + hour * 50.0 / 60.0),
            ("-08:00", 15.0 * hour + hour * 50.0 / 60.0),
            ("America/Los_Angeles", 15.0 * hour + hour * 50.0 / 60.0),
        ];
        for (zone, expected) in rows {
            let left = day_ends_in_ms(ten_past, zone).unwrap();
            assert!((left - expected).abs() < 0.5, "{zone}: {left}");
        }
        // Daylight saving time ends on this day, so it has 25 hours.
        let long = day_ends_in_ms(epoch_ms("2026-11-01T07:00:00Z"), "America/Los_Angeles").unwrap();
        assert!((long - 25.0 * hour).abs() < 0.5, "{long}");
        assert!(day_ends_in_ms(0.0, "UTC").unwrap() < 0.5);
        assert!(day_ends_in_ms(f64::NAN, "UTC").unwrap() < 0.5);
        for (at, zone) in
            [(ten_past, "Mars/Olympus"), (ten_past, ""), (ten_past, "+8"), (ten_past, "+99:00"), (1e300, "UTC")]
        {
            assert!(day_ends_in_ms(at, zone).is_err(), "{at} {zone}");
        }
    }
}
