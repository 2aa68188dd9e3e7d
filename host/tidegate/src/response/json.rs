//! Extracts errors from JSON; values outside the error paths are skipped and never stored.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::extract::{ErrorExtractor, PathCursor};

/// Reads up to the first syntax error or the end of a truncated body; errors found before that point are kept.
pub fn read(text: &str, extractor: &mut ErrorExtractor<'_>) {
    let mut json = serde_json::Deserializer::from_str(text);
    let cursor = extractor.root();
    let _ = PathReader { extractor, cursor }.deserialize(&mut json); // invalid JSON contains no further errors
}

/// Reads a value on the path to an error object or to one of its fields.
struct PathReader<'e, 's> {
    extractor: &'e mut ErrorExtractor<'s>,
    cursor: PathCursor,
}

impl<'de> DeserializeSeed<'de> for PathReader<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        if !self.extractor.is_at_field(&self.cursor) {
            return json.deserialize_any(self);
        }
        let text = <&RawValue>::deserialize(json)?.get();
        if let Some(number) = number_text(text) {
            self.extractor.set_field(&self.cursor, &number);
            return Ok(());
        }
        serde_json::Deserializer::from_str(text).deserialize_any(self).map_err(Error::custom)
    }
}

/// Returns the text of a number. One that no number type represents keeps its digits, for example a long error code.
fn number_text(text: &str) -> Option<String> {
    if !text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return None;
    }
    let float = text.parse().ok().filter(|float: &f64| float.is_finite() && text.contains(['.', 'e', 'E']));
    Some(float.map_or_else(|| text.to_owned(), |float| float.to_string()))
}

/// Visitor methods that store a scalar value as text.
macro_rules! set_scalars {
    ($($visit:ident: $kind:ty),+) => { $(fn $visit<E>(self, value: $kind) -> Result<(), E> {
        if self.extractor.is_at_field(&self.cursor) {
            self.extractor.set_field(&self.cursor, &value.to_string());
        }
        Ok(())
    })+ };
}

impl<'de> Visitor<'de> for PathReader<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let cursor = self.extractor.enter_object(self.cursor);
        while let Some(name) = map.next_key::<String>()? {
            let below = self.extractor.descend(&cursor, &name);
            if below.is_empty() {
                map.next_value::<IgnoredAny>()?;
            } else {
                map.next_value_seed(PathReader { extractor: self.extractor, cursor: below })?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        loop {
            let cursor = self.extractor.enter_item(&self.cursor);
            let item = match cursor[..] {
                [] => list.next_element::<IgnoredAny>()?.map(drop),
                _ => list.next_element_seed(PathReader { extractor: self.extractor, cursor })?,
            };
            if item.is_none() {
                return Ok(());
            }
        }
    }

    set_scalars! { visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
