//! Encodes windows as the fields of a hash, and the times of windows as parts of keys.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tidegate_core::window::{Resolution, Window};

/// The field with the last minute that an hour or day includes.
const ROLLED_UP_TO: &str = "rolled_up_to";

/// Returns the non-zero fields of a window. A duration bucket's field is named after its number.
pub fn encode(window: &Window) -> Vec<(String, u64)> {
    let named = [
        ("count", window.success + window.errors),
        ("success_count", window.success),
        ("error_count", window.errors),
        ("limited_count", window.limited),
        // Redis counts in signed integers; only 292,000 years of calls in one interval would exceed them.
        ("total_duration_us", window.total_us.min(i64::MAX.unsigned_abs())),
    ];
    let named = named.into_iter().map(|(name, count)| (name.to_owned(), count));
    let buckets = window.sketch.buckets().map(|(index, count)| (index.to_string(), count));
    named.chain(buckets).filter(|(_, count)| *count > 0).collect()
}

/// Returns the window with these fields, and the last minute that it includes if it is an hour or day.
pub fn decode(fields: &BTreeMap<String, u64>) -> (Window, Option<u64>) {
    let field = |name: &str| fields.get(name).copied().unwrap_or_default();
    let mut window = Window::default();
    window.success = field("success_count");
    window.errors = field("error_count");
    window.limited = field("limited_count");
    window.total_us = field("total_duration_us");
    let buckets = fields.iter().filter_map(|(name, count)| Some((name.parse().ok()?, *count)));
    buckets.for_each(|(index, count)| window.sketch.add(index, count));
    (window, fields.get(ROLLED_UP_TO).copied())
}

/// Returns a window's time in UTC as part of its key: `29391240` (minutes since 1970), `2026-11-23T08`, `2026-11-23`.
pub fn time_name(resolution: Resolution, at_ms: u64) -> String {
    let format = match resolution {
        Resolution::Minute => return (at_ms / resolution.millis()).to_string(),
        Resolution::Hour => "%FT%H",
        _ => "%F",
    };
    // No clock exceeds the year 9999, the last one of the calendar.
    let at = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX);
    at.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_names_follow_the_calendar() {
        let rows = [
            (0, "0", "1970-01-01T00"),
            (951_782_399_999, "15863039", "2000-02-28T23"),
            (951_782_400_000, "15863040", "2000-02-29T00"),
            (1_763_900_000_000, "29398333", "2025-11-23T12"),
            (1_798_761_599_999, "29979359", "2026-12-31T23"),
            (1_798_761_600_000, "29979360", "2027-01-01T00"),
            (4_107_542_400_000, "68459040", "2100-03-01T00"),
        ];
        for (at_ms, minute, hour) in rows {
            assert_eq!(time_name(Resolution::Minute, at_ms), minute);
            assert_eq!(time_name(Resolution::Hour, at_ms), hour);
            assert_eq!(time_name(Resolution::Day, at_ms), hour[..10]);
        }
    }

    #[test]
    fn encoded_windows_decode_to_the_same_window() {
        let mut window = Window::default();
        (window.success, window.errors, window.limited) = (3, 1, 7);
        window.total_us = 123_456_789_012_345;
        [0, 17, 550, 551, 552].into_iter().for_each(|index| window.sketch.add(index, u64::from(index) + 1));
        let fields: BTreeMap<String, u64> = encode(&window).into_iter().collect();
        assert_eq!(fields["count"], 4);
        assert_eq!(decode(&fields), (window, None));
        assert_eq!(encode(&Window::default()), []);
    }
}
