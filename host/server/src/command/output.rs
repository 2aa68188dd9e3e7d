//! Formats responses as text.

use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use tidegate_core::units::format_duration;

use super::client::{Client, CommandError};
use super::target::Target;
use super::{UsageError, print_error, print_result};

/// Sends a request and prints the response: as JSON with `--json`, or else as the text that `format` returns.
///
/// Returns exit status 1 if the named limit, lock or platform does not exist.
pub fn send_and_print<T: Serialize>(
    target: &Target,
    request: impl AsyncFnOnce(Client) -> Result<T, CommandError>,
    format: impl FnOnce(&T) -> String,
) -> Result<ExitCode, UsageError> {
    send_and_print_with_status(target, request, |response| (format(response), ExitCode::SUCCESS))
}

/// Sends a request and prints the response, like [`send_and_print`]. The exit status depends on the response.
pub fn send_and_print_with_status<T: Serialize>(
    target: &Target,
    request: impl AsyncFnOnce(Client) -> Result<T, CommandError>,
    format: impl FnOnce(&T) -> (String, ExitCode),
) -> Result<ExitCode, UsageError> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| UsageError(error.to_string()))?;
    match runtime.block_on(async { request(target.client()?).await }) {
        Ok(response) => {
            let (text, exit_status) = format(&response);
            print_result(target.json, &serde_json::json!(response), &text);
            Ok(exit_status)
        }
        Err(CommandError::NotFound(message)) => {
            print_error(&message);
            Ok(ExitCode::from(1))
        }
        Err(CommandError::Failed(message)) => Err(UsageError(message)),
    }
}

/// Formats a table with a header row. Columns are as wide as their longest cell.
pub fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut lines = vec![header.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()];
    lines.extend(rows);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..header.len()).map(width).collect();
    let padded = |line: &Vec<String>| {
        let cells: Vec<_> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    lines.iter().map(padded).collect::<Vec<_>>().join("\n")
}

/// Replaces control characters, which a terminal would interpret.
pub fn text(value: &str) -> String {
    value.replace(char::is_control, " ")
}

/// Formats a number of things: `1 limit`, `2 limits`.
pub fn count(number: usize, singular: &str) -> String {
    format!("{number} {singular}{}", if number == 1 { "" } else { "s" })
}

/// Formats a fraction as a percentage.
pub fn percentage(fraction: f64) -> String {
    format!("{:.1}%", fraction * 100.0)
}

/// Formats milliseconds as a duration.
pub fn millis(millis: u64) -> String {
    format_duration(Duration::from_millis(millis))
}

/// Formats a Unix time in milliseconds as date and time in UTC.
pub fn timestamp(unix_ms: u64) -> String {
    let at = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.unwrap_or(jiff::Timestamp::MAX).strftime("%F %TZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_number_one_is_singular() {
        assert_eq!([0, 1, 2].map(|number| count(number, "limit")), ["0 limits", "1 limit", "2 limits"]);
    }

    #[test]
    fn timestamps_are_in_utc() {
        let rows = [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_399_000, "2000-02-28 23:59:59Z"),
            (951_782_400_000, "2000-02-29 00:00:00Z"),
            (1_763_859_600_123, "2025-11-23 01:00:00Z"),
            (4_107_542_400_000, "2100-03-01 00:00:00Z"),
        ];
        for (unix_ms, expected) in rows {
            assert_eq!(timestamp(unix_ms), expected);
        }
    }
}
