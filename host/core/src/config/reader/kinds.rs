//! What a value may be: each kind reads a [`Value`] or reports what it expected.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::{Source, Text};
use crate::config::Setting;
use crate::units::parse_duration;

/// A value in its place; kinds read it.
pub struct Value<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) inner: &'a Spanned<DeValue<'a>>,
    pub(super) path: String,
}

impl Value<'_> {
    /// Reports a mistake at the value; `None`, so that a kind can end with it.
    pub fn refuse<T>(&self, message: &str) -> Option<T> {
        self.source.report(self.inner.span().start, &self.path, message);
        None
    }

    /// Names what was found by its kind alone: the value may be a secret.
    pub(super) fn refuse_kind<T>(&self, expected: &str) -> Option<T> {
        let found = match self.inner.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.refuse(&format!("expected {expected}, found {found}"))
    }
}

/// A string.
pub fn string(value: &Value<'_>) -> Option<String> {
    match value.inner.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        _ => value.refuse_kind("a string in quotes"),
    }
}

/// A string with its place, for contents in which a mistake has a place of its own.
pub fn text(value: &Value<'_>) -> Option<Text> {
    string(value).map(|text| Text::new(value.source, &text, value.inner.span()))
}

/// A string that `parse` reads; its error is one sentence that says what was expected.
pub fn parsed<'a, T, E: Display>(parse: impl FnOnce(&str) -> Result<T, E>) -> impl FnOnce(&Value<'a>) -> Option<T> {
    |value| parse(&string(value)?).map_or_else(|error| value.refuse(&error.to_string()), Some)
}

/// One of a few words, each with its meaning.
pub fn choice<'a, T: Clone>(options: &[(&'static str, T)]) -> impl FnOnce(&Value<'a>) -> Option<T> {
    |value| {
        let found = string(value)?;
        if let Some((_, meaning)) = options.iter().find(|(name, _)| *name == found) {
            return Some(meaning.clone());
        }
        let names: Vec<_> = options.iter().map(|(name, _)| format!("{name:?}")).collect();
        value.refuse(&format!("expected {}, not {found:?}", names.join(" or ")))
    }
}

/// A duration such as `"5m"`.
pub fn duration(value: &Value<'_>) -> Option<Duration> {
    match value.inner.get_ref() {
        DeValue::String(text) => parse_duration(text).map_or_else(|error| value.refuse(&error), Some),
        _ => value.refuse_kind("a duration in quotes such as \"250ms\", \"5s\", \"5m\", \"1h\" or \"7d\""),
    }
}

/// A duration above zero.
pub fn time(value: &Value<'_>) -> Option<Duration> {
    let duration = duration(value)?;
    if duration.is_zero() { value.refuse("expected a duration above zero, not \"0s\"") } else { Some(duration) }
}

/// A whole number within a range.
pub fn integer<'a>(range: RangeInclusive<u64>) -> impl FnOnce(&Value<'a>) -> Option<u64> {
    move |value| {
        let expected = match (*range.start(), *range.end()) {
            (least, u64::MAX) => format!("a whole number of at least {least}"),
            (least, most) => format!("a whole number from {least} to {most}"),
        };
        let DeValue::Integer(integer) = value.inner.get_ref() else { return value.refuse_kind(&expected) };
        match u64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if range.contains(&number) => Some(number),
            _ => value.refuse(&format!("expected {expected}, not {integer}")),
        }
    }
}

/// A number within a range; a whole one is fine too.
pub fn number<'a>(range: RangeInclusive<f64>) -> impl FnOnce(&Value<'a>) -> Option<f64> {
    move |value| {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        let written = match value.inner.get_ref() {
            DeValue::Float(float) => float.as_str(),
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
            _ => return value.refuse_kind(&expected),
        };
        match written.parse() {
            Ok(number) if range.contains(&number) => Some(number),
            _ => value.refuse(&format!("expected {expected}, not {written}")),
        }
    }
}

/// A text, a number, true or false.
pub fn scalar(value: &Value<'_>) -> Option<Setting> {
    match value.inner.get_ref() {
        DeValue::String(text) => Some(Setting::Text(text.to_string())),
        DeValue::Boolean(flag) => Some(Setting::Flag(*flag)),
        DeValue::Integer(_) | DeValue::Float(_) => number(f64::MIN..=f64::MAX)(value).map(Setting::Number),
        _ => value.refuse_kind("a text in quotes, a number, true or false"),
    }
}

/// A list whose every element is of one kind.
pub fn list<'a, T>(kind: impl Fn(&Value<'a>) -> Option<T>) -> impl FnOnce(&Value<'a>) -> Option<Vec<T>> {
    move |value| {
        let DeValue::Array(items) = value.inner.get_ref() else { return value.refuse_kind("a list in [ ]") };
        let item = |inner| kind(&Value { source: value.source, inner, path: value.path.clone() });
        // Collected twice, so that every wrong element is reported.
        items.iter().map(item).collect::<Vec<_>>().into_iter().collect()
    }
}
