//! Parsers of values: each reads a [`TomlValue`], or reports what it expected and returns `None`.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::{Section, Source, SpannedString};
use crate::config::Setting;
use crate::text_enum::alternatives;
use crate::units::parse_duration;

/// A TOML value with its position and the path of its key.
#[derive(Clone)]
pub struct TomlValue<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) inner: &'a Spanned<DeValue<'a>>,
    pub(super) path: String,
    /// Whether the value belongs to another section, which reports its mistakes.
    pub(super) inherited: bool,
}

impl fmt::Debug for TomlValue<'_> {
    /// Shows only the path, because the value can be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TomlValue").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<'a> TomlValue<'a> {
    /// Reports a mistake at the value. Returns `None`, so that a parser can end with this call.
    pub fn reject<T>(&self, message: &str) -> Option<T> {
        if !self.inherited {
            self.source.report(self.inner.span().start, &self.path, message);
        }
        None
    }

    /// Returns the value as a section; reports a value that is not a table.
    pub fn table(&self) -> Option<Section<'a>> {
        match self.inner.get_ref() {
            DeValue::Table(table) => {
                Some(Section::in_value(self.source, table, self.inner.span().start, self.path.clone()))
            }
            _ => self.reject_type(&format!("a table `[{}]`", self.path)),
        }
    }

    /// Reports a value of the wrong type. The message has only the type: the value may be a secret.
    pub(super) fn reject_type<T>(&self, expected: &str) -> Option<T> {
        let found = match self.inner.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.reject(&format!("expected {expected}, found {found}"))
    }
}

/// Reads a string.
pub fn string(value: &TomlValue<'_>) -> Option<String> {
    match value.inner.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        _ => value.reject_type("a string in quotes"),
    }
}

/// Reads a string and keeps its position, so that a mistake inside the string can be reported at its own position.
pub fn spanned_string(value: &TomlValue<'_>) -> Option<SpannedString> {
    string(value).map(|text| SpannedString::new(value.source, &text, value.inner.span()))
}

/// Reads a string with `parse`, whose error is one sentence that says what was expected.
pub fn parsed<'a, T, E: Display>(parse: impl FnOnce(&str) -> Result<T, E>) -> impl FnOnce(&TomlValue<'a>) -> Option<T> {
    |value| parse(&string(value)?).map_or_else(|error| value.reject(&error.to_string()), Some)
}

/// Reads one of the given names and returns the value that belongs to it.
pub fn choice<'a, T: Clone>(options: &[(&'static str, T)]) -> impl FnOnce(&TomlValue<'a>) -> Option<T> {
    |value| {
        let name = string(value)?;
        if let Some((_, option)) = options.iter().find(|(known, _)| *known == name) {
            return Some(option.clone());
        }
        let names: Vec<_> = options.iter().map(|(known, _)| *known).collect();
        value.reject(&format!("expected {}, found {name:?}", alternatives(&names)))
    }
}

/// Reads a duration such as `"5m"`.
pub fn duration(value: &TomlValue<'_>) -> Option<Duration> {
    match value.inner.get_ref() {
        DeValue::String(text) => parse_duration(text).map_or_else(|error| value.reject(&error.to_string()), Some),
        _ => value.reject_type("a duration in quotes such as \"250ms\", \"5s\", \"5m\", \"1h\" or \"7d\""),
    }
}

/// Reads a duration above zero.
pub fn positive_duration(value: &TomlValue<'_>) -> Option<Duration> {
    let duration = duration(value)?;
    if duration.is_zero() { value.reject("expected a duration above zero, found \"0s\"") } else { Some(duration) }
}

/// Returns what is expected of a whole number within a range.
pub(crate) fn expected_integer(range: &RangeInclusive<u64>) -> String {
    match (*range.start(), *range.end()) {
        (min, u64::MAX) => format!("a whole number of at least {min}"),
        (min, max) => format!("a whole number from {min} to {max}"),
    }
}

/// Reads a whole number within a range.
pub fn integer<'a>(range: RangeInclusive<u64>) -> impl FnOnce(&TomlValue<'a>) -> Option<u64> {
    move |value| {
        let expected = expected_integer(&range);
        let DeValue::Integer(integer) = value.inner.get_ref() else { return value.reject_type(&expected) };
        match u64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if range.contains(&number) => Some(number),
            _ => value.reject(&format!("expected {expected}, found {integer}")),
        }
    }
}

/// Reads a number within a range; a whole number is accepted too.
pub fn number<'a>(range: RangeInclusive<f64>) -> impl FnOnce(&TomlValue<'a>) -> Option<f64> {
    move |value| {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        let literal = match value.inner.get_ref() {
            DeValue::Float(float) => float.as_str(),
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
            _ => return value.reject_type(&expected),
        };
        match literal.parse() {
            Ok(number) if range.contains(&number) => Some(number),
            _ => value.reject(&format!("expected {expected}, found {literal}")),
        }
    }
}

/// Reads a setting of a policy: a string, a number or a boolean.
pub fn scalar(value: &TomlValue<'_>) -> Option<Setting> {
    match value.inner.get_ref() {
        DeValue::String(text) => Some(Setting::Text(text.to_string())),
        DeValue::Boolean(flag) => Some(Setting::Flag(*flag)),
        DeValue::Integer(_) | DeValue::Float(_) => number(f64::MIN..=f64::MAX)(value).map(Setting::Number),
        _ => value.reject_type("a string in quotes, a number, true or false"),
    }
}

/// Reads a string, a whole number or a boolean as text.
pub(crate) fn scalar_text(value: &TomlValue<'_>) -> Option<String> {
    match value.inner.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(integer) if integer.radix() == 10 => Some(integer.as_str().to_owned()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        _ => value.reject_type("a string in quotes, a whole number, true or false"),
    }
}

/// Reads a list and parses each element with `read`.
pub fn list<'a, T>(read: impl Fn(&TomlValue<'a>) -> Option<T>) -> impl FnOnce(&TomlValue<'a>) -> Option<Vec<T>> {
    move |value| {
        let DeValue::Array(items) = value.inner.get_ref() else { return value.reject_type("a list in [ ]") };
        let item = |inner| read(&TomlValue { inner, ..value.clone() });
        // The first `collect` reads every element, so that every wrong one is reported.
        items.iter().map(item).collect::<Vec<_>>().into_iter().collect()
    }
}

/// Reads a list and parses each element with `read`; a value that is not a list counts as its only element.
pub fn one_or_list<'a, T>(read: impl Fn(&TomlValue<'a>) -> Option<T>) -> impl FnOnce(&TomlValue<'a>) -> Option<Vec<T>> {
    move |value| match value.inner.get_ref() {
        DeValue::Array(_) => list(read)(value),
        _ => read(value).map(|item| vec![item]),
    }
}
