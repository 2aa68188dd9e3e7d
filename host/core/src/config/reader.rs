//! Reads TOML that people write: every mistake of a file at once, each at its place.
//!
//! A [`Section`] is asked for the keys it may hold; a key nobody asked for is a problem of its own. Whoever reads asks
//! for everything first and puts the answers together last, so that one mistake does not hide the next:
//!
//! ```
//! use std::time::Duration;
//! use tidegate_core::config::reader::{self, Section, duration, integer, text};
//!
//! struct Rule { name: String, condition: reader::Text, hold: Duration, min_samples: u64 }
//!
//! fn rule(name: &str, section: &mut Section<'_>) -> Option<Rule> {
//!     let condition = section.required("condition", text);
//!     let hold = section.optional("for", duration).unwrap_or_default();
//!     let min_samples = section.optional("min_samples", integer(1..=u64::MAX)).unwrap_or(20);
//!     Some(Rule { name: name.to_owned(), condition: condition?, hold, min_samples })
//! }
//!
//! fn rules(text: &str) -> Result<Vec<Rule>, Vec<reader::Problem>> {
//!     reader::read(text, |file| {
//!         let rules = file.tables("rules").into_iter().map(|(name, mut section)| rule(&name.value, &mut section));
//!         rules.collect::<Vec<_>>().into_iter().collect()
//!     })
//! }
//!
//! let mistakes = "[rules.slow]\ncondition = 5\nfro = \"5m\"\nmin_samples = 0\n";
//! let problems: Vec<_> = rules(mistakes).err().unwrap().iter().map(ToString::to_string).collect();
//! assert_eq!(problems, [
//!     "2:13: rules.slow.condition: expected a string in quotes, found an integer",
//!     "3:1: rules.slow.fro: no such key; did you mean `for`?",
//!     "4:15: rules.slow.min_samples: expected a whole number of at least 1, not 0",
//! ]);
//!
//! let rules = rules("[rules.slow]\ncondition = 'p95 > 500'\n").unwrap();
//! assert_eq!((rules[0].name.as_str(), rules[0].hold), ("slow", Duration::ZERO));
//! assert_eq!(rules[0].condition.place(1, 7).column, 20); // where the `500` stands in the file
//! ```

mod kinds;
mod text;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use kinds::{Value, choice, duration, integer, list, number, parsed, scalar, string, text, time};
pub use text::Text;

/// A place in a file: line and column count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// One mistake in a file; it reads `line:column: what was expected, what was found, how to mend it`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The mistake in one sentence, beginning with the key.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for Problem {}

/// Reads a TOML text by asking its top section; `read_top` answers `None` only where it met a problem.
///
/// # Errors
/// Every problem of the text, in the order of their places.
pub fn read<T>(text: &str, read_top: impl FnOnce(&mut Section<'_>) -> Option<T>) -> Result<T, Vec<Problem>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let source = Source { text, broken: !errors.is_empty(), problems: RefCell::default() };
    let mut top = Section {
        source: &source,
        table: document.get_ref(),
        path: String::new(),
        start: 0,
        known: vec![],
        lenient: false,
    };
    let value = read_top(&mut top);
    drop(top);
    let mut problems = source.problems.take();
    // What was guessed from a broken line is no mistake of its own.
    for error in errors {
        let start = error.span().map_or(text.len(), |span| span.start);
        let problem = source.problem(start, format!("not TOML: {}", error.message()));
        problems.retain(|other| other.line != problem.line);
        problems.push(problem);
    }
    problems.sort();
    match value {
        Some(value) if problems.is_empty() => Ok(value),
        _ => Err(problems),
    }
}

/// A text with what was found wrong in it so far.
struct Source<'a> {
    text: &'a str,
    /// Whether it is no TOML somewhere; a key may then be missing only because its line could not be read.
    broken: bool,
    problems: RefCell<Vec<Problem>>,
}

impl Source<'_> {
    fn position(&self, offset: usize) -> Position {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Position { line, column }
    }

    fn problem(&self, offset: usize, message: String) -> Problem {
        let Position { line, column } = self.position(offset);
        Problem { line, column, message }
    }

    fn report(&self, offset: usize, path: &str, message: &str) {
        let message = if path.is_empty() { message.to_owned() } else { format!("{path}: {message}") };
        self.problems.borrow_mut().push(self.problem(offset, message));
    }
}

/// One table of a file; when it is dropped, the keys nobody asked for become problems.
pub struct Section<'a> {
    source: &'a Source<'a>,
    table: &'a DeTable<'a>,
    path: String,
    start: usize,
    known: Vec<&'static str>,
    lenient: bool,
}

impl<'a> Section<'a> {
    /// The value of `key` as `kind` reads it; `None` where the key is absent or the value is a problem.
    pub fn optional<T>(&mut self, key: &'static str, kind: impl FnOnce(&Value<'a>) -> Option<T>) -> Option<T> {
        let (_, value) = self.entry(key)?;
        kind(&self.value(key, value))
    }

    /// The value of `key`; its absence is a problem.
    pub fn required<T>(&mut self, key: &'static str, kind: impl FnOnce(&Value<'a>) -> Option<T>) -> Option<T> {
        if !self.has(key) && !self.source.broken {
            self.refuse(&format!("`{key}` is missing"));
        }
        self.optional(key, kind)
    }

    /// Whether `key` stands there, whatever its value.
    pub fn has(&mut self, key: &'static str) -> bool {
        self.entry(key).is_some()
    }

    /// Whether nothing stands in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The table `[key]`, if it is there.
    pub fn table(&mut self, key: &'static str) -> Option<Self> {
        let (start, value) = self.entry(key)?;
        self.section(key, start, value)
    }

    /// The table `[key]`; its absence is a problem.
    pub fn required_table(&mut self, key: &'static str) -> Option<Self> {
        if !self.has(key) && !self.source.broken {
            self.refuse(&format!("`{key}` is missing"));
        }
        self.table(key)
    }

    /// Every table `[key.NAME]` with its name and the name's place, in the order of names.
    pub fn tables(&mut self, key: &'static str) -> Vec<(Text, Self)> {
        let Some(mut parent) = self.table(key) else { return vec![] };
        parent.skip_rest(); // every name is welcome
        let mut tables = vec![];
        for (name, value) in parent.table {
            if let Some(section) = parent.section(name.get_ref(), name.span().start, value) {
                tables.push((Text::new(parent.source, name.get_ref(), name.span()), section));
            }
        }
        tables
    }

    /// Every table `[[key]]`, in their order.
    pub fn sections(&mut self, key: &'static str) -> Vec<Self> {
        let Some((_, value)) = self.entry(key) else { return vec![] };
        let DeValue::Array(items) = value.get_ref() else {
            let _: Option<()> = self.value(key, value).refuse_kind(&format!("tables `[[{}]]`", self.path_of(key)));
            return vec![];
        };
        items.iter().filter_map(|item| self.section(key, item.span().start, item)).collect()
    }

    /// Every value of the table `[key]` as `kind` reads it, by name.
    pub fn values<T>(&mut self, key: &'static str, kind: impl Fn(&Value<'a>) -> Option<T>) -> BTreeMap<String, T> {
        let Some(mut table) = self.table(key) else { return BTreeMap::new() };
        table.skip_rest(); // every name is welcome
        let mut values = BTreeMap::new();
        for (name, value) in table.table {
            let read = kind(&table.value(name.get_ref(), value));
            values.extend(read.map(|read| (name.get_ref().to_string(), read)));
        }
        values
    }

    /// Reports a mistake of the section as a whole, at its header.
    pub fn refuse(&self, message: &str) {
        self.source.report(self.start, &self.path, message);
    }

    /// Reports a mistake about the value of `key`, at the value; at the header where the key is absent.
    pub fn refuse_value(&self, key: &str, message: &str) {
        let start = self.table.get(key).map_or(self.start, |value| value.span().start);
        self.source.report(start, &self.path_of(key), message);
    }

    /// Lets the keys that nobody asked for pass: for a section whose mistake is reported already.
    pub fn skip_rest(&mut self) {
        self.lenient = true;
    }

    fn entry(&mut self, key: &'static str) -> Option<(usize, &'a Spanned<DeValue<'a>>)> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.table.get_key_value(key).map(|(name, value)| (name.span().start, value))
    }

    fn section(&self, key: &str, start: usize, value: &'a Spanned<DeValue<'a>>) -> Option<Self> {
        let path = self.path_of(key);
        match value.get_ref() {
            DeValue::Table(table) => {
                Some(Self { source: self.source, table, path, start, known: vec![], lenient: false })
            }
            _ => self.value(key, value).refuse_kind(&format!("a table `[{path}]`")),
        }
    }

    fn value(&self, key: &str, value: &'a Spanned<DeValue<'a>>) -> Value<'a> {
        Value { source: self.source, inner: value, path: self.path_of(key) }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        let asked = |name: &str| self.lenient || self.known.contains(&name);
        for name in self.table.keys().filter(|name| !asked(name.get_ref())) {
            let message = format!("no such key; {}", suggestion(name.get_ref(), &self.known));
            self.source.report(name.span().start, &self.path_of(name.get_ref()), &message);
        }
    }
}

/// The longest name that may be a near miss, in bytes.
const MAX_NAME: usize = 128;

/// `did you mean …?` for a near miss, else everything that could stand there.
#[must_use]
pub fn suggestion(found: &str, known: &[&str]) -> String {
    // Nothing that is known is nearly so long, and the time to compare grows with the length.
    let near = known.iter().filter(|_| found.len() <= MAX_NAME);
    let nearest = near.map(|key| (distance(found, key), *key)).min();
    match nearest {
        Some((distance, key)) if distance <= 1 + key.chars().count() / 4 => format!("did you mean `{key}`?"),
        _ if !known.is_empty() => {
            format!("known here: {}", known.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", "))
        }
        _ => "nothing can stand here".to_owned(),
    }
}

/// Insertions, deletions, replacements and swaps of neighbours that make `a` of `b` (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let swap = if swapped { rows[i - 2][j - 2] + 1 } else { usize::MAX };
                replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(swap)
            };
        }
    }
    rows[a.len()][b.len()]
}
