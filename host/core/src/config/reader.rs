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
//! fn rules(text: &str) -> Result<Vec<Rule>, reader::Diagnostics> {
//!     reader::read(text, |file| {
//!         let rules = file.tables("rules").into_iter().map(|(name, mut section)| rule(&name.value, &mut section));
//!         rules.collect::<Vec<_>>().into_iter().collect()
//!     })
//! }
//!
//! let invalid = "[rules.slow]\ncondition = 5\nfro = \"5m\"\nmin_samples = 0\n";
//! let diagnostics = rules(invalid).err().unwrap().to_string();
//! assert_eq!(diagnostics.lines().collect::<Vec<_>>(), [
//!     "2:13: rules.slow.condition: expected a string in quotes, found an integer",
//!     "3:1: rules.slow: unknown key `fro` (did you mean `for`?)",
//!     "4:15: rules.slow.min_samples: expected a whole number of at least 1, found 0",
//! ]);
//!
//! let rules = rules("[rules.slow]\ncondition = 'p95 > 500'\n").unwrap();
//! assert_eq!((rules[0].name.as_str(), rules[0].hold), ("slow", Duration::ZERO));
//! assert_eq!(rules[0].condition.position(1, 7).column, 20); // the column of `500` in the file
//! ```

mod diagnostic;
mod effective_value;
mod renamed_keys;
mod secrets;
mod section;
mod spanned_string;
mod suggestion;
mod values;

#[cfg(test)]
mod tests;

use std::cell::RefCell;

use toml::de::DeTable;

use super::{Env, NoEnv};
use crate::text::one_line;

pub use diagnostic::{Diagnostic, Diagnostics, Position};
pub use effective_value::{EffectiveValue, Origin};
pub(crate) use section::NamedTable;
pub use section::Section;
pub use spanned_string::SpannedString;
pub use suggestion::{nearest_name, with_suggestion};
pub use values::{
    TomlValue, choice, duration, integer, list, number, one_or_list, parsed, positive_duration, scalar, spanned_string,
    string,
};
pub(crate) use values::{expected_integer, scalar_text};

/// The maximum length of a message, in characters. A message can repeat a value of any length.
const MAX_MESSAGE_LENGTH: usize = 1_000;

/// Reads a TOML document with `read_top`, which returns `None` only if it reported a mistake. Secrets in it cannot
/// refer to environment variables and files.
///
/// # Errors
/// Returns every mistake of the document, sorted by position.
pub fn read<T>(text: &str, read_top: impl FnOnce(&mut Section<'_>) -> Option<T>) -> Result<T, Diagnostics> {
    read_layers(&[(Layer::Document, text)], &NoEnv, None, read_top)
}

/// The kind of a text that is read as one layer of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    /// The document of a user.
    Document,
    /// A preset that is compiled in, by its name.
    Preset(&'static str),
    /// The defaults that are compiled in.
    Defaults,
}

/// Reads several TOML documents as one: a key that the first does not have is read from the second, and so on.
///
/// Secrets are read from the environment variables and files of `env`. `values`, if given, receives each value that is
/// read, with its origin.
///
/// # Errors
/// Returns every mistake, sorted by position.
pub(crate) fn read_layers<T>(
    texts: &[(Layer, &str)],
    env: &dyn Env,
    values: Option<&RefCell<Vec<EffectiveValue>>>,
    read_top: impl FnOnce(&mut Section<'_>) -> Option<T>,
) -> Result<T, Diagnostics> {
    let report = Report { env, diagnostics: RefCell::default(), values };
    let (mut documents, mut syntax_errors) = (vec![], vec![]);
    for (layer, text) in texts {
        let (document, errors) = DeTable::parse_recoverable(text);
        let source = Source { text, layer: *layer, has_syntax_errors: !errors.is_empty(), report: &report };
        let errors = errors.iter().map(|error| {
            let start = error.span().map_or(text.len(), |span| span.start);
            source.diagnostic(start, format!("invalid TOML: {}", error.message()))
        });
        syntax_errors.extend(errors);
        documents.push((source, document));
    }
    let mut top = Section::top(documents.iter().map(|(source, document)| (source, document.get_ref())));
    let value = read_top(&mut top);
    drop(top);
    let mut diagnostics = report.diagnostics.take();
    // The parser guesses the values of a line with a syntax error, so other diagnostics of that line are removed.
    diagnostics.retain(|diagnostic| !syntax_errors.iter().any(|error| error.position.line == diagnostic.position.line));
    diagnostics.extend(syntax_errors);
    match value {
        Some(value) if diagnostics.is_empty() => return Ok(value),
        // A channel kind of another program may break the rule for `read_top`.
        None if diagnostics.is_empty() => {
            let message = "rejected by a reader that reported no mistake";
            diagnostics.push(Diagnostic::new(Position { line: 1, column: 1 }, message));
        }
        _ => {}
    }
    Err(Diagnostics::new(diagnostics))
}

/// The environment of secrets, and what reading reports: the mistakes and, on request, the values.
struct Report<'a> {
    env: &'a dyn Env,
    diagnostics: RefCell<Vec<Diagnostic>>,
    values: Option<&'a RefCell<Vec<EffectiveValue>>>,
}

/// The text of one layer.
struct Source<'a> {
    text: &'a str,
    layer: Layer,
    /// Whether the text has TOML syntax errors. A key may then seem missing only because its line cannot be parsed.
    has_syntax_errors: bool,
    report: &'a Report<'a>,
}

impl Source<'_> {
    fn position(&self, offset: usize) -> Position {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Position { line, column }
    }

    fn diagnostic(&self, offset: usize, message: String) -> Diagnostic {
        Diagnostic { position: self.position(offset), message: one_line(&message, MAX_MESSAGE_LENGTH) }
    }

    fn report(&self, offset: usize, path: &str, message: &str) {
        let message = if path.is_empty() { message.to_owned() } else { format!("{path}: {message}") };
        self.report.diagnostics.borrow_mut().push(self.diagnostic(offset, message));
    }
}
