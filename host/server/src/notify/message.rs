//! What a message says, whatever carries it.

use tidegate::core::{Notification, Stats};

/// The most bytes of a title: longer ones are cut off by receivers, at worse places.
const MAX_TITLE: usize = 200;

/// The title on one line.
pub(super) fn title(notification: &Notification) -> String {
    cut(&line(&notification.title()), MAX_TITLE)
}

/// What was judged and what was found, as names and values on one line each.
pub(super) fn facts(notification: &Notification) -> Vec<(&'static str, String)> {
    let Stats { count, errors, limited, error_rate, p50, p95, p99, from_ms, to_ms, .. } = notification.stats;
    let calls = format!("{count}, of which {errors} failed ({:.1} %); {limited} more were limited", error_rate * 100.0);
    let mut facts = vec![
        ("Condition", line(&notification.condition)),
        ("Calls", calls),
        ("Durations", format!("p50 {p50:.0} ms, p95 {p95:.0} ms, p99 {p99:.0} ms")),
        ("Window", format!("{} to {}", utc(from_ms), utc(to_ms))),
        ("Judged at", utc(notification.at_ms)),
    ];
    if let Some(detail) = &notification.detail {
        facts.insert(1, ("Detail", line(detail)));
    }
    facts
}

/// A text on one line: control characters become spaces.
pub(super) fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// At most so many bytes of a text, ending in `…` where something was cut.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(most.saturating_sub('…'.len_utf8()))])
}

/// A moment as people read it, to the second.
///
/// Source: Howard Hinnant, *chrono-Compatible Low-Level Date Algorithms*, `civil_from_days`, for years from 1970.
fn utc(unix_ms: u64) -> String {
    let (days, seconds) = (unix_ms / 86_400_000 + 719_468, unix_ms / 1_000 % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // 0 is March
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (era * 400 + year + u64::from(month >= 10), if month < 10 { month + 3 } else { month - 9 });
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown_in_the_calendar() {
        let rows = [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399_999, "2000-02-28 23:59:59 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00 UTC"),
            (951_868_800_000, "2000-03-01 00:00:00 UTC"),
            (1_735_689_599_000, "2024-12-31 23:59:59 UTC"),
            (1_795_406_400_000, "2026-11-23 04:00:00 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00:00 UTC"),
        ];
        for (unix_ms, expected) in rows {
            assert_eq!(utc(unix_ms), expected);
        }
    }

    #[test]
    fn a_cut_keeps_whole_characters_and_its_bound() {
        assert_eq!(cut("12345", 5), "12345");
        assert_eq!(cut("123456", 5), "12…");
        assert_eq!(cut("速度速度", 11), "速度…");
        assert_eq!(cut("速度速度", 12), "速度速度");
        for most in 3..12 {
            assert!(cut("速度速度", most).len() <= most);
        }
    }
}
