//! Reads TOML files and reports every mistake of a file at once, each with its line and column.
//!
//! The caller requests each key that a [`Section`] may contain. When the section is dropped, every key that was not
//! requested is reported as unknown. Request all keys first and unwrap the results last, so that one mistake does not
//! hide the next:
//!
//! ```
//! use std::time::Duration;
//! use tidegate_core::config::reader::{self, Section, duration, integer, spanned_string};
//!
//! struct Rule { name: String, condition: reader::SpannedString, hold: Duration, min_samples: u64 }
//!
//! fn rule(name: &str, section: &mut Section<'_>) -> Option<Rule> {
//!     let condition = section.required("condition", spanned_string);
//!     let hold = section.optional("for", duration).unwrap_or_default();
//!     let min_samples = section.optional("min_samples", integer(1..=u64::MAX)).unwrap_or(20);
//!     Some(Rule { name: name.to_owned(), condition: condition?, hold, min_samples })
//! }
//!
//! fn rules(text: &str) -> Result<Vec<Rule>, Vec<reader::Diagnostic>> {
//!     reader::read(text, |file| {
//!         let rules = file.tables("rules").into_iter().map(|(name, mut section)| rule(&name.value, &mut section));
//!         rules.collect::<Vec<_>>().into_iter().collect()
//!     })
//! }
//!
//! let invalid = "[rules.slow]\ncondition = 5\nfro = \"5m\"\nmin_samples = 0\n";
//! let diagnostics: Vec<_> = rules(invalid).err().unwrap().iter().map(ToString::to_string).collect();
//! assert_eq!(diagnostics, [
//!     "2:13: rules.slow.condition: expected a string in quotes, found an integer",
//!     "3:1: rules.slow: unknown key `fro` (did you mean `for`?)",
//!     "4:15: rules.slow.min_samples: expected a whole number of at least 1, found 0",
//! ]);
//!
//! let rules = rules("[rules.slow]\ncondition = 'p95 > 500'\n").unwrap();
//! assert_eq!((rules[0].name.as_str(), rules[0].hold), ("slow", Duration::ZERO));
//! assert_eq!(rules[0].condition.position(1, 7).column, 20); // the column of `500` in the file
//! ```

mod renamed_keys;
mod spanned_string;
mod suggestion;
mod values;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use spanned_string::SpannedString;
pub use suggestion::{nearest_name, with_suggestion};
pub use values::{
    TomlValue, choice, duration, integer, list, number, parsed, positive_duration, scalar, spanned_string, string,
};

/// A position in a file. Lines and columns start at 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// One mistake in a file, displayed as `line:column: message`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The message, which starts with the path of the key: what was expected, what was found, how to fix it.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for Diagnostic {}

/// Reads a TOML document with `read_top`, which returns `None` only if it reported a mistake.
///
/// # Errors
/// Returns every mistake of the document, sorted by position.
pub fn read<T>(text: &str, read_top: impl FnOnce(&mut Section<'_>) -> Option<T>) -> Result<T, Vec<Diagnostic>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let source = Source { text, has_syntax_errors: !errors.is_empty(), diagnostics: RefCell::default() };
    let mut top = Section {
        source: &source,
        table: document.get_ref(),
        path: String::new(),
        start: 0,
        requested_keys: vec![],
        allows_unknown_keys: false,
    };
    let value = read_top(&mut top);
    drop(top);
    let mut diagnostics = source.diagnostics.take();
    // The parser guesses the values of a line with a syntax error, so other diagnostics of that line are removed.
    for error in errors {
        let start = error.span().map_or(text.len(), |span| span.start);
        let diagnostic = source.diagnostic(start, format!("invalid TOML: {}", error.message()));
        diagnostics.retain(|other| other.line != diagnostic.line);
        diagnostics.push(diagnostic);
    }
    diagnostics.sort();
    match value {
        Some(value) if diagnostics.is_empty() => Ok(value),
        _ => Err(diagnostics),
    }
}

/// The text of a document and the mistakes reported so far.
struct Source<'a> {
    text: &'a str,
    /// Whether the text has TOML syntax errors. A key may then seem missing only because its line cannot be parsed.
    has_syntax_errors: bool,
    diagnostics: RefCell<Vec<Diagnostic>>,
}

impl Source<'_> {
    fn position(&self, offset: usize) -> Position {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Position { line, column }
    }

    fn diagnostic(&self, offset: usize, message: String) -> Diagnostic {
        let Position { line, column } = self.position(offset);
        Diagnostic { line, column, message }
    }

    fn report(&self, offset: usize, path: &str, message: &str) {
        let message = if path.is_empty() { message.to_owned() } else { format!("{path}: {message}") };
        self.diagnostics.borrow_mut().push(self.diagnostic(offset, message));
    }
}

/// A table of a file. When it is dropped, it reports the keys that were not requested as unknown.
pub struct Section<'a> {
    source: &'a Source<'a>,
    table: &'a DeTable<'a>,
    path: String,
    start: usize,
    requested_keys: Vec<&'static str>,
    allows_unknown_keys: bool,
}

impl<'a> Section<'a> {
    /// Returns the value of `key` as `read` parses it, or `None` if the key is absent or its value is rejected.
    pub fn optional<T>(&mut self, key: &'static str, read: impl FnOnce(&TomlValue<'a>) -> Option<T>) -> Option<T> {
        let (_, value) = self.entry(key)?;
        read(&self.value(key, value))
    }

    /// Returns the value of `key` as `read` parses it; reports a missing key.
    pub fn required<T>(&mut self, key: &'static str, read: impl FnOnce(&TomlValue<'a>) -> Option<T>) -> Option<T> {
        if !self.contains_key(key) && !self.source.has_syntax_errors {
            self.reject(&format!("`{key}` is missing"));
        }
        self.optional(key, read)
    }

    /// Returns whether the section contains `key`, with any value.
    pub fn contains_key(&mut self, key: &'static str) -> bool {
        self.entry(key).is_some()
    }

    /// Returns whether the section has no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Returns the table `[key]`, if there is one.
    pub fn table(&mut self, key: &'static str) -> Option<Self> {
        let (start, value) = self.entry(key)?;
        self.section(key, start, value)
    }

    /// Returns the table `[key]`; reports a missing table.
    pub fn required_table(&mut self, key: &'static str) -> Option<Self> {
        if !self.contains_key(key) && !self.source.has_syntax_errors {
            self.reject(&format!("`{key}` is missing"));
        }
        self.table(key)
    }

    /// Returns every table `[key.NAME]` with its name and the position of the name, sorted by name.
    pub fn tables(&mut self, key: &'static str) -> Vec<(SpannedString, Self)> {
        let Some(mut parent) = self.table(key) else { return vec![] };
        parent.allow_unknown_keys(); // any name is allowed
        let mut tables = vec![];
        for (name, value) in parent.table {
            if let Some(section) = parent.section(name.get_ref(), name.span().start, value) {
                tables.push((SpannedString::new(parent.source, name.get_ref(), name.span()), section));
            }
        }
        tables
    }

    /// Returns every table of the array `[[key]]`, in file order.
    pub fn table_array(&mut self, key: &'static str) -> Vec<Self> {
        let Some((_, value)) = self.entry(key) else { return vec![] };
        let DeValue::Array(items) = value.get_ref() else {
            let _: Option<()> = self.value(key, value).reject_type(&format!("tables `[[{}]]`", self.path_of(key)));
            return vec![];
        };
        items.iter().filter_map(|item| self.section(key, item.span().start, item)).collect()
    }

    /// Returns every value of the table `[key]` as `read` parses it, by name.
    pub fn values<T>(&mut self, key: &'static str, read: impl Fn(&TomlValue<'a>) -> Option<T>) -> BTreeMap<String, T> {
        let Some(mut table) = self.table(key) else { return BTreeMap::new() };
        table.allow_unknown_keys(); // any name is allowed
        let mut values = BTreeMap::new();
        for (name, value) in table.table {
            let value = read(&table.value(name.get_ref(), value));
            values.extend(value.map(|value| (name.get_ref().to_string(), value)));
        }
        values
    }

    /// Reports a mistake of the section as a whole, at the position of its header.
    pub fn reject(&self, message: &str) {
        self.source.report(self.start, &self.path, message);
    }

    /// Reports a mistake about `key`, at the position of its value, or of the section's header if the key is absent.
    pub fn reject_value(&self, key: &str, message: &str) {
        let start = self.table.get(key).map_or(self.start, |value| value.span().start);
        self.source.report(start, &self.path_of(key), message);
    }

    /// Turns off the check for unknown keys, for example in a section whose mistake is already reported.
    pub fn allow_unknown_keys(&mut self) {
        self.allows_unknown_keys = true;
    }

    fn entry(&mut self, key: &'static str) -> Option<(usize, &'a Spanned<DeValue<'a>>)> {
        if !self.requested_keys.contains(&key) {
            self.requested_keys.push(key);
        }
        self.table.get_key_value(key).map(|(name, value)| (name.span().start, value))
    }

    fn section(&self, key: &str, start: usize, value: &'a Spanned<DeValue<'a>>) -> Option<Self> {
        let path = self.path_of(key);
        match value.get_ref() {
            DeValue::Table(table) => Some(Self {
                source: self.source,
                table,
                path,
                start,
                requested_keys: vec![],
                allows_unknown_keys: false,
            }),
            _ => self.value(key, value).reject_type(&format!("a table `[{path}]`")),
        }
    }

    fn value(&self, key: &str, value: &'a Spanned<DeValue<'a>>) -> TomlValue<'a> {
        TomlValue { source: self.source, inner: value, path: self.path_of(key) }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        if self.allows_unknown_keys {
            return;
        }
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if self.requested_keys.contains(&name) {
                continue;
            }
            let message = format!("unknown key `{name}`");
            let message = match renamed_keys::new_name(&self.path, name) {
                Some(new_name) => format!("{message}; it is now named `{new_name}`"),
                None => with_suggestion(message, name, &self.requested_keys),
            };
            self.source.report(key.span().start, &self.path, &message);
        }
    }
}
