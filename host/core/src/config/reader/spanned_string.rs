//! Strings with the position of each of their characters in the file.

use std::ops::Range;

use super::{Position, Source};

/// A string with its position in a file, so that a mistake inside it (in a condition, for example) can be reported at
/// its own position.
///
/// It supports every form of a TOML string, including escapes and multi-line strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpannedString {
    /// The contents.
    pub value: String,
    /// The position of the opening quote.
    pub at: Position,
    /// The position of each character of `value`, then the position where the contents end.
    positions: Vec<Position>,
}

impl SpannedString {
    pub(super) fn new(source: &Source<'_>, value: &str, span: Range<usize>) -> Self {
        let raw = source.text.get(span.clone()).unwrap_or_default();
        let at = source.position(span.start);
        Self { value: value.to_owned(), at, positions: char_positions(raw, at) }
    }

    /// Returns the position in the file of the character at `line` and `column` (both from 1) of the contents.
    ///
    /// If there is no such character, it returns the position where the contents end.
    #[must_use]
    pub fn position(&self, line: usize, column: usize) -> Position {
        let before: usize =
            self.value.split_inclusive('\n').take(line.saturating_sub(1)).map(|l| l.chars().count()).sum();
        let index = before + column.saturating_sub(1);
        self.positions.get(index).or(self.positions.last()).copied().unwrap_or(self.at)
    }
}

/// Returns the position of each character of a TOML string literal's value, then the position where the value ends.
fn char_positions(raw: &str, at: Position) -> Vec<Position> {
    let quotes = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quotes| raw.starts_with(quotes)).unwrap_or_default();
    let mut cursor = Cursor { rest: raw.strip_suffix(quotes).unwrap_or(raw), at };
    cursor.advance(quotes.len());
    if quotes.len() == 3 {
        // TOML drops a line break right after the opening quotes.
        cursor.advance(usize::from(cursor.rest.starts_with("\r\n")));
        cursor.advance(usize::from(cursor.rest.starts_with('\n')));
    }
    let mut positions = vec![];
    while !cursor.rest.is_empty() {
        let width = if quotes.starts_with('"') { literal_width(cursor.rest) } else { 1 };
        match width {
            // A backslash at the end of a line removes the line break and the indent after it.
            0 => {
                cursor.advance(1);
                cursor.advance(cursor.rest.chars().take_while(|c| c.is_ascii_whitespace()).count());
            }
            width => {
                positions.push(cursor.at);
                cursor.advance(width);
            }
        }
    }
    positions.push(cursor.at);
    positions
}

/// Returns how many characters the literal uses for the first character of a basic string; 0 for a backslash that
/// ends a line.
fn literal_width(rest: &str) -> usize {
    let mut chars = rest.chars();
    match (chars.next(), chars.next()) {
        (Some('\\'), Some('u')) => 6,
        (Some('\\'), Some('U')) => 10,
        (Some('\\'), Some('x')) => 4,
        (Some('\\'), Some(c)) if c.is_ascii_whitespace() => 0,
        (Some('\\'), _) => 2,
        _ => 1,
    }
}

/// The rest of a literal and the position where it begins.
struct Cursor<'a> {
    rest: &'a str,
    at: Position,
}

impl Cursor<'_> {
    fn advance(&mut self, count: usize) {
        for _ in 0..count {
            let mut chars = self.rest.chars();
            match chars.next() {
                Some('\n') => self.at = Position { line: self.at.line + 1, column: 1 },
                Some(_) => self.at.column += 1,
                None => return,
            }
            self.rest = chars.as_str();
        }
    }
}
