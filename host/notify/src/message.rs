//! The content of a notification, for every channel.

use jiff::Timestamp;
use tidegate_core::{Notification, Stats};

/// The maximum size of a title, in bytes. Receivers truncate longer titles in worse places.
const MAX_TITLE: usize = 200;

/// Returns the title of a notification on one line.
pub fn title(notification: &Notification) -> String {
    truncate(&single_line(&notification.title()), MAX_TITLE)
}

/// Returns the condition of the alert and the statistics of its window, as pairs of a name and a value on one line.
/// The built-in alerts evaluate no window, so their notifications have no statistics.
pub fn facts(notification: &Notification) -> Vec<(&'static str, String)> {
    let mut facts = vec![("Condition", single_line(&notification.condition))];
    facts.extend(notification.detail.as_ref().map(|detail| ("Detail", single_line(detail))));
    let Stats { count, errors, limited, error_rate, p50, p95, p99, from_ms, to_ms, .. } = notification.stats;
    let has_window = to_ms != 0;
    if has_window {
        let error_percent = error_rate * 100.0;
        let attempts =
            format!("{count} sent, {errors} failed ({error_percent:.1} %); {limited} more refused by the rate limit");
        facts.push(("Attempts", attempts));
        facts.push(("Duration", format!("p50 {p50:.0} ms, p95 {p95:.0} ms, p99 {p99:.0} ms")));
        facts.push(("Window", format!("{} to {}", utc(from_ms), utc(to_ms))));
    }
    facts.push(("Evaluated at", utc(notification.at_ms)));
    facts
}

/// Replaces control characters by spaces, so that the text fits on one line.
pub fn single_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Truncates a text to at most `max` bytes. A truncated text ends in `…`.
pub fn truncate(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(max.saturating_sub('…'.len_utf8()))])
}

/// Formats a Unix time in milliseconds as a UTC date and time, to the second.
fn utc(unix_ms: u64) -> String {
    let at = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.unwrap_or(Timestamp::MAX).strftime("%F %T UTC").to_string()
}

#[cfg(test)]
mod tests {
    use tidegate_core::{Severity, Transition};

    use super::*;

    #[test]
    fn notification_without_a_window_has_no_statistics() {
        let mut notification = Notification::new("redis_unavailable", Severity::Critical, "redis", Transition::Firing)
            .with_condition("the last leader cannot reach Redis")
            .with_detail("connection refused")
            .with_at_ms(1_795_406_400_000);
        let expected = [
            ("Condition", "the last leader cannot reach Redis".to_owned()),
            ("Detail", "connection refused".to_owned()),
            ("Evaluated at", "2026-11-23 04:00:00 UTC".to_owned()),
        ];
        assert_eq!(facts(&notification), expected);
        notification.stats.to_ms = 300_000;
        let names: Vec<_> = facts(&notification).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["Condition", "Detail", "Attempts", "Duration", "Window", "Evaluated at"]);
    }

    #[test]
    fn utc_formats_unix_times_as_calendar_dates() {
        let rows = [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399_999, "2000-02-28 23:59:59 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00 UTC"),
            (951_868_800_000, "2000-03-01 00:00:00 UTC"),
            (1_735_689_599_000, "2024-12-31 23:59:59 UTC"),
            (1_795_406_400_000, "2026-11-23 04:00:00 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00:00 UTC"),
            (u64::MAX, "9999-12-30 22:00:00 UTC"),
        ];
        for (unix_ms, expected) in rows {
            assert_eq!(utc(unix_ms), expected);
        }
    }

    #[test]
    fn truncate_keeps_whole_characters_and_the_maximum_size() {
        assert_eq!(truncate("12345", 5), "12345");
        assert_eq!(truncate("123456", 5), "12…");
        assert_eq!(truncate("速度速度", 11), "速度…");
        assert_eq!(truncate("速度速度", 12), "速度速度");
        for max in 3..12 {
            assert!(truncate("速度速度", max).len() <= max);
        }
    }
}
