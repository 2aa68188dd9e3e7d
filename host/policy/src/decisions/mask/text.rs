//! Finds secrets in text that is not valid JSON: a part of a body, a URL, a header, or prose that contains them.

use std::ops::Range;

use tidegate_core::secret::is_secret_name;

use super::{is_value_name, markup, work};

/// The schemes of credentials, as in `Authorization: Bearer abc`.
const SCHEMES: [&str; 5] = ["bearer", "basic", "digest", "token", "negotiate"];

/// Returns the secrets of a text, in order and without overlaps.
pub fn secret_ranges(text: &str) -> Vec<Range<usize>> {
    let (bytes, mut ranges, mut at) = (text.as_bytes(), vec![], 0);
    // From the end of the last tag to the end of its element, if that is a secret as a whole.
    let mut element = 0..0;
    while at < bytes.len() {
        if element.contains(&at) {
            at = element.end;
        } else if bytes[at] == b'<' && at >= element.start {
            element = markup::tag_ranges(text, at, &mut ranges).unwrap_or(element);
            at += 1;
        } else if is_name_byte(bytes[at]) {
            let name = at..skip(text, at, is_name_byte);
            at = name.end;
            if let Some(range) = value_of(text, name).filter(|range| !range.is_empty()) {
                at = range.end;
                ranges.push(range);
            }
        } else {
            at += 1;
        }
    }
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|next, previous| {
        let overlaps = next.start < previous.end;
        if overlaps {
            previous.end = previous.end.max(next.end);
        }
        overlaps
    });
    ranges
}

pub fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// Returns whether a word after `Bearer` or `token:` is a credential and not the next word of a sentence.
pub fn looks_like_credential(word: &str) -> bool {
    let word = word.trim_end_matches(['.', ',', ';', ':', '!', '?']);
    let has_inner_capital = word.bytes().skip(1).any(|byte| byte.is_ascii_uppercase());
    let has_capital_among_small = has_inner_capital && word.bytes().any(|byte| byte.is_ascii_lowercase());
    let is_symbol = |byte: u8| byte.is_ascii_digit() || b"_+=~".contains(&byte);
    word.is_ascii() && (word.len() >= 20 || word.bytes().any(is_symbol) || has_capital_among_small)
}

/// Returns the secret that follows a name.
fn value_of(text: &str, name: Range<usize>) -> Option<Range<usize>> {
    let word = &text[name.clone()];
    if text[name.end..].starts_with("://") {
        return user_info(text, name.end + 3);
    }
    if ["bearer", "basic"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme)) {
        let start = skip_spaces(text, name.end);
        let value = start..word_end(text, start);
        if start > name.end && looks_like_credential(&text[value.clone()]) {
            return Some(value);
        }
    }
    if !is_secret_name(word) {
        return None;
    }
    let quote_end = opening_quote(text, name.end).map(|quote| quote.end);
    let at = quote_end.unwrap_or(name.end);
    let separator = skip_spaces(text, at);
    match text.as_bytes().get(separator)? {
        b'=' => {
            let is_arrow = text[separator..].starts_with("=>");
            let start = separator + if is_arrow { 2 } else { 1 };
            assigned_value(text, if is_arrow || separator > at { skip_spaces(text, start) } else { start })
        }
        b':' => labelled_value(text, word, skip_spaces(text, separator + 1), quote_end.is_some()),
        b',' if quote_end.is_some() => pair_value(text, name.start, skip_spaces(text, separator + 1)),
        b'<' if separator == name.end && text[..name.start].ends_with('>') => markup::pair_value(text, separator),
        _ => None,
    }
}

/// Returns the user and the password of a URL. `start` is the start of its authority.
fn user_info(text: &str, start: usize) -> Option<Range<usize>> {
    let is_authority = |byte: u8| !byte.is_ascii_whitespace() && !b"/?#\"'<>\\".contains(&byte);
    let authority = &text[start..skip(text, start, is_authority)];
    Some(start..start + authority.rfind('@')?)
}

/// Returns the value after `name=`.
fn assigned_value(text: &str, start: usize) -> Option<Range<usize>> {
    Some(opening_quote(text, start).map_or_else(|| start..credential_end(text, start), |quote| quote.content(text)))
}

/// Returns the value after `name:`, or after `"name":` if the name is in quotes.
///
/// A colon also occurs in prose, so a value without quotes must look like a credential, or belong to a header.
fn labelled_value(text: &str, name: &str, start: usize, is_quoted_name: bool) -> Option<Range<usize>> {
    if let Some(quote) = opening_quote(text, start) {
        return Some(quote.content(text));
    }
    if is_quoted_name {
        let is_nested = matches!(text.as_bytes().get(start), Some(b'[' | b'{'));
        return is_nested.then(|| start..nested_end(text, start));
    }
    let lower = name.to_ascii_lowercase();
    if lower.contains("cookie") || lower.contains("authorization") {
        return Some(start..header_end(text, start));
    }
    // A word with other than ASCII characters is prose. Such words are not read to their end, which may be that of the
    // text.
    let ascii_end = skip(text, start, |byte| byte.is_ascii() && is_word_byte(byte));
    if !name.contains('-') && text[ascii_end..].starts_with(|next: char| !next.is_ascii()) {
        return None;
    }
    let end = credential_end(text, start);
    (name.contains('-') || looks_like_credential(&text[start..end])).then_some(start..end)
}

/// Returns the value of a pair `["token", "…"]` or `"name": "token", "value": "…"`, whose second string is at `start`.
/// `name` is the position of the name.
fn pair_value(text: &str, name: usize, start: usize) -> Option<Range<usize>> {
    let second = opening_quote(text, start)?.content(text);
    let after = opening_quote(text, second.end).map_or(second.end, |quote| quote.end);
    let after = skip_spaces(text, after);
    if text.as_bytes().get(after) == Some(&b':') {
        let is_value = is_value_name(&text[second]);
        return if is_value { labelled_value(text, "", skip_spaces(text, after + 1), true) } else { None };
    }
    let before = text[..name].trim_end_matches(['"', '\'', '\\']).trim_end();
    before.ends_with(['[', '(']).then_some(second)
}

/// A quotation mark. In JSON within a JSON string, backslashes are before it.
#[derive(Clone, Copy)]
pub struct Quote {
    mark: u8,
    backslashes: usize,
    /// The position after the quotation mark.
    pub end: usize,
}

/// Returns the quotation mark at `at`, with the backslashes before it.
pub fn opening_quote(text: &str, at: usize) -> Option<Quote> {
    let position = skip(text, at, |byte| byte == b'\\');
    let mark = *text.as_bytes().get(position)?;
    matches!(mark, b'"' | b'\'').then_some(Quote { mark, backslashes: position - at, end: position + 1 })
}

impl Quote {
    /// Returns the range up to the closing quotation mark, or to the end of a truncated text.
    pub fn content(self, text: &str) -> Range<usize> {
        let mut backslashes = 0;
        for (offset, byte) in text[self.end..].bytes().enumerate() {
            if byte == self.mark && self.is_closed_by(backslashes) {
                let at = self.end + offset;
                work::add(offset);
                return self.end..at - self.backslashes.min(backslashes);
            }
            backslashes = if byte == b'\\' { backslashes + 1 } else { 0 };
        }
        work::add(text.len() - self.end);
        self.end..text.len()
    }

    /// Returns whether a quotation mark after this number of backslashes closes the string.
    fn is_closed_by(self, mut backslashes: usize) -> bool {
        // Each level of JSON within a string doubles the backslashes and adds one before a quotation mark.
        let mut level = self.backslashes;
        while level > 0 && backslashes % 2 == 1 {
            (level, backslashes) = ((level - 1) / 2, backslashes / 2);
        }
        backslashes.is_multiple_of(2)
    }
}

/// Returns where a credential without quotes ends: after its first word, or after the second one if the first is a
/// scheme such as `Bearer`.
fn credential_end(text: &str, start: usize) -> usize {
    let end = word_end(text, start);
    let next = skip_spaces(text, end);
    let has_scheme = SCHEMES.iter().any(|scheme| text[start..end].eq_ignore_ascii_case(scheme));
    if has_scheme && next > end { word_end(text, next) } else { end }
}

/// Returns where a word ends, without the backslashes before a quotation mark.
fn word_end(text: &str, start: usize) -> usize {
    let end = skip(text, start, is_word_byte);
    start + text[start..end].trim_end_matches('\\').len()
}

fn is_word_byte(byte: u8) -> bool {
    !byte.is_ascii_whitespace() && !b"&\"')]}<>;,".contains(&byte)
}

/// Returns where the value of a header such as `Cookie: a=b; c="d"` ends: at the end of the line, or at a quotation
/// mark that does not start the value of a cookie.
fn header_end(text: &str, start: usize) -> usize {
    let mut at = start;
    loop {
        at = skip(text, at, |byte| !b"\r\n\"'".contains(&byte));
        match opening_quote(text, at) {
            Some(quote) if text[..at].ends_with('=') => at = (quote.content(text).end + 1).min(text.len()),
            _ => return start + text[start..at].trim_end_matches('\\').len(),
        }
    }
}

/// Returns where a JSON list or object ends.
fn nested_end(text: &str, start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' if depth == 1 => return at + 1,
            b']' | b'}' => depth -= 1,
            b'"' => at = opening_quote(text, at).map_or(at, |quote| quote.content(text).end),
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// Returns the position of the first byte from `at` on for which `is_skipped` is false.
pub fn skip(text: &str, at: usize, is_skipped: impl Fn(u8) -> bool) -> usize {
    let length = text.as_bytes()[at..].iter().position(|byte| !is_skipped(*byte));
    let end = length.map_or(text.len(), |length| at + length);
    work::add(end - at);
    end
}

pub fn skip_spaces(text: &str, at: usize) -> usize {
    skip(text, at, |byte| byte.is_ascii_whitespace())
}
