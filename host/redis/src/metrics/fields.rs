//! Windows as the fields of a hash, and the names of times.

use std::collections::BTreeMap;

use tidegate_core::window::{Grain, Window};

/// The field that says up to which minute an hour or a day has been rolled up.
const REACHES: &str = "reaches";

/// The fields of a window that are above zero; those of the durations have the numbers of their buckets as names.
pub fn of(window: &Window) -> Vec<(String, u64)> {
    let named = [
        ("count", window.success + window.errors),
        ("success_count", window.success),
        ("error_count", window.errors),
        ("limited_count", window.limited),
        // Counts are signed there; 292,000 years of calls in one interval do not fit.
        ("total_duration_us", window.total_us.min(i64::MAX.unsigned_abs())),
    ];
    let named = named.into_iter().map(|(name, count)| (name.to_owned(), count));
    let buckets = window.sketch.buckets().map(|(index, count)| (index.to_string(), count));
    named.chain(buckets).filter(|(_, count)| *count > 0).collect()
}

/// A window as it was read, and up to which minute it has been rolled up.
pub fn read(fields: &BTreeMap<String, u64>) -> (Window, Option<u64>) {
    let field = |name: &str| fields.get(name).copied().unwrap_or_default();
    let mut window = Window {
        success: field("success_count"),
        errors: field("error_count"),
        limited: field("limited_count"),
        total_us: field("total_duration_us"),
        ..Window::default()
    };
    let buckets = fields.iter().filter_map(|(name, count)| Some((name.parse().ok()?, *count)));
    buckets.for_each(|(index, count)| window.sketch.add(index, count));
    (window, fields.get(REACHES).copied())
}

/// The name of a window's time: `29391240` (minutes since 1970), `2026-11-23T08` or `2026-11-23`, in UTC.
pub fn time(grain: Grain, at_ms: u64) -> String {
    match grain {
        Grain::Minute => (at_ms / grain.millis()).to_string(),
        Grain::Hour => format!("{}T{:02}", date(at_ms), at_ms % Grain::Day.millis() / grain.millis()),
        Grain::Day => date(at_ms),
    }
}

fn date(at_ms: u64) -> String {
    let mut days = at_ms / Grain::Day.millis();
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_names_of_the_calendar() {
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
            assert_eq!(time(Grain::Minute, at_ms), minute);
            assert_eq!(time(Grain::Hour, at_ms), hour);
            assert_eq!(time(Grain::Day, at_ms), hour[..10]);
        }
    }

    #[test]
    fn a_window_comes_back_from_its_fields() {
        let mut window =
            Window { success: 3, errors: 1, limited: 7, total_us: 123_456_789_012_345, ..Window::default() };
        [0, 17, 550, 551, 552].into_iter().for_each(|index| window.sketch.add(index, u64::from(index) + 1));
        let fields: BTreeMap<String, u64> = of(&window).into_iter().collect();
        assert_eq!(fields["count"], 4);
        assert_eq!(read(&fields), (window, None));
        assert_eq!(of(&Window::default()), []);
    }
}
