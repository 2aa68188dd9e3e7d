//! Text from other programs and users in messages.

/// Returns a text for a message, on one line and with at most `max` characters: control characters are escaped, and a
/// truncated text ends in `…`.
///
/// ```
/// use tidegate_core::text::one_line;
/// assert_eq!(one_line("a\n\u{1b}[2J", 20), r"a\n\u{1b}[2J");
/// assert_eq!(one_line("a long text", 4), "a lo…");
/// ```
#[must_use]
pub fn one_line(text: &str, max: usize) -> String {
    let escape = |c: char| if c.is_control() { c.escape_debug().collect::<String>() } else { c.to_string() };
    let end = text.char_indices().nth(max).map(|(at, _)| at);
    let mut line: String = text[..end.unwrap_or(text.len())].chars().map(escape).collect();
    if end.is_some() {
        line.push('…');
    }
    line
}
