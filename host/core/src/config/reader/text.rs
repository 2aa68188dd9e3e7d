//! A string of a file that still knows where each of its characters stood.

use std::ops::Range;

use super::{Position, Source};

/// A string with its place, so that what is wrong inside it (a condition, say) can be shown inside the file.
///
/// Works for every form a TOML string has, escapes and several lines included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The contents.
    pub value: String,
    /// Where it begins in the file: at its quote.
    pub at: Position,
    /// Where each character of `value` stands, and last, where the contents end.
    places: Vec<Position>,
}

impl Text {
    pub(super) fn new(source: &Source<'_>, value: &str, span: Range<usize>) -> Self {
        let raw = source.text.get(span.clone()).unwrap_or_default();
        let at = source.position(span.start);
        Self { value: value.to_owned(), at, places: places(raw, at) }
    }

    /// The place in the file of what stands at `line` and `column` (both from 1) of the contents.
    ///
    /// A place beyond the contents is shown at their end.
    #[must_use]
    pub fn place(&self, line: usize, column: usize) -> Position {
        let before: usize =
            self.value.split_inclusive('\n').take(line.saturating_sub(1)).map(|l| l.chars().count()).sum();
        let index = before + column.saturating_sub(1);
        self.places.get(index).or(self.places.last()).copied().unwrap_or(self.at)
    }
}

/// Walks a string as it is written and notes where each character of its value begins, and where the last one ends.
fn places(raw: &str, at: Position) -> Vec<Position> {
    let quotes = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quotes| raw.starts_with(quotes)).unwrap_or_default();
    let mut walk = Walk { rest: raw.strip_suffix(quotes).unwrap_or(raw), at };
    walk.skip(quotes.len());
    if quotes.len() == 3 {
        // A line break right after the opening quotes belongs to the quotes.
        walk.skip(usize::from(walk.rest.starts_with("\r\n")));
        walk.skip(usize::from(walk.rest.starts_with('\n')));
    }
    let mut places = vec![];
    while !walk.rest.is_empty() {
        let width = if quotes.starts_with('"') { written(walk.rest) } else { 1 };
        match width {
            // A backslash at the end of a line swallows the break and the indent after it: no character.
            0 => {
                walk.skip(1);
                walk.skip(walk.rest.chars().take_while(|c| c.is_ascii_whitespace()).count());
            }
            width => {
                places.push(walk.at);
                walk.skip(width);
            }
        }
    }
    places.push(walk.at);
    places
}

/// In how many characters the first character of a basic string is written; 0 for a backslash that ends a line.
fn written(rest: &str) -> usize {
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

struct Walk<'a> {
    rest: &'a str,
    at: Position,
}

impl Walk<'_> {
    fn skip(&mut self, count: usize) {
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
