//! Extracts errors from JSON; values outside the error paths are skipped and never stored.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::extract::{ErrorExtractor, PathCursor};

/// Reads up to the first syntax error or the end of a truncated body; errors found before that point are kept.
pub fn read(text: &str, extractor: &mut ErrorExtractor) {
    let mut json = serde_json::Deserializer::from_str(text);
    let cursor = extractor.root();
    let _ = PathReader { extractor, cursor }.deserialize(&mut json); // invalid JSON contains no further errors
}

/// Reads a value on the path to an error object.
struct PathReader<'a> {
    extractor: &'a mut ErrorExtractor,
    cursor: PathCursor,
}

impl<'de> DeserializeSeed<'de> for PathReader<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

/// Visitor methods that ignore a scalar value.
macro_rules! ignore_scalars {
    ($($visit:ident: $kind:ty),+) => { $(fn $visit<E>(self, _: $kind) -> Result<Self::Value, E> { Ok(Self::Value::default()) })+ };
}

impl<'de> Visitor<'de> for PathReader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let first = self.extractor.start_object(self.cursor);
        while let Some(name) = map.next_key::<String>()? {
            if self.extractor.needs_field(self.cursor, &name) {
                if let Some(value) = map.next_value_seed(ScalarReader)? {
                    self.extractor.set_field(self.cursor, first, &name, &value);
                }
            } else if let Some(cursor) = self.extractor.descend(self.cursor, &name) {
                map.next_value_seed(PathReader { extractor: self.extractor, cursor })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(PathReader { extractor: self.extractor, cursor: self.cursor })?.is_some() {}
        Ok(())
    }

    ignore_scalars! { visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Reads a string, a number or a boolean as text; returns `None` for any other value.
struct ScalarReader;

impl<'de> DeserializeSeed<'de> for ScalarReader {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

/// Visitor methods that return a scalar value as text.
macro_rules! read_scalars {
    ($($visit:ident: $kind:ty),+) => { $(fn $visit<E>(self, value: $kind) -> Result<Self::Value, E> { Ok(Some(value.to_string())) })+ };
}

impl<'de> Visitor<'de> for ScalarReader {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    read_scalars! { visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}
