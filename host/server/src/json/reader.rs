//! Converts JSON values to Rust types, with errors in plain words instead of the names of Rust types.

use std::fmt;

use serde::de::value::StringDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};
use tidegate_core::text::one_line;

/// The maximum number of characters of an invalid value that a message repeats.
const MAX_QUOTED: usize = 60;

/// Converts a JSON value. An object is required where the type is a struct.
///
/// # Errors
/// Returns the first field that is invalid, and what was expected there.
pub fn read_value<T: DeserializeOwned>(value: Value) -> Result<T, FieldError> {
    T::deserialize(ValueReader { value, is_query: false })
}

/// Converts the parameters of a query. A parameter for a whole number is text that contains it.
///
/// # Errors
/// Returns the first parameter that is invalid, and what was expected there.
pub fn read_query<T: DeserializeOwned>(parameters: Map<String, Value>) -> Result<T, FieldError> {
    T::deserialize(ValueReader { value: Value::Object(parameters), is_query: true })
}

/// A field of a JSON value that does not fit its type.
#[derive(Debug)]
pub struct FieldError {
    /// The names of the fields that lead to the value, innermost first.
    path: Vec<String>,
    message: String,
}

impl FieldError {
    /// Returns whether the error is about the whole value and not about one of its fields.
    #[must_use]
    pub fn is_at_root(&self) -> bool {
        self.path.is_empty()
    }

    /// Adds the name of the field that contains the value.
    #[must_use]
    pub fn within(mut self, field: String) -> Self {
        self.path.push(field);
        self
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, field) in self.path.iter().rev().enumerate() {
            write!(f, "{}{}", if position == 0 { "" } else { "." }, one_line(field, MAX_QUOTED))?;
        }
        write!(f, "{}{}", if self.path.is_empty() { "" } else { ": " }, self.message)
    }
}

impl std::error::Error for FieldError {}

impl de::Error for FieldError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { path: Vec::new(), message: message.to_string() }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("expected {}, found {}", expected_words(&expected.to_string()), found_words(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(name: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format_args!("unknown value {}, expected {}", quoted_name(name), one_of(expected)))
    }

    fn unknown_field(name: &str, expected: &'static [&'static str]) -> Self {
        let expected = if expected.is_empty() { "no fields".to_owned() } else { one_of(expected) };
        Self::custom(format_args!("unknown field {}, expected {expected}", quoted_name(name)))
    }
}

/// Describes what serde expects without names of Rust types.
fn expected_words(expected: &str) -> &str {
    match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number of at least 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a map" => "an object",
        "a sequence" => "an array",
        other => other,
    }
}

/// Describes an invalid value as it is written in JSON.
fn found_words(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => value.to_string(),
        Unexpected::Signed(value) => value.to_string(),
        // Unlike `Display`, `Debug` prints 1.0 as it is.
        Unexpected::Float(value) => format!("{value:?}"),
        Unexpected::Str(text) => one_line(&format!("{text:?}"), MAX_QUOTED),
        Unexpected::Unit | Unexpected::Option => "null".to_owned(),
        Unexpected::Seq => "an array".to_owned(),
        Unexpected::Map => "an object".to_owned(),
        other => other.to_string(),
    }
}

/// Returns a name from the input in backticks, shortened and without control characters.
pub fn quoted_name(name: &str) -> String {
    format!("`{}`", one_line(name, MAX_QUOTED))
}

fn one_of(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match &names[..] {
        [name] => name.clone(),
        names => format!("one of {}", names.join(", ")),
    }
}

fn unexpected(value: &Value) -> Unexpected<'_> {
    match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(value), _) => Unexpected::Unsigned(value),
            (None, Some(value)) => Unexpected::Signed(value),
            _ => Unexpected::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
    }
}

/// Reads one value.
struct ValueReader {
    value: Value,
    is_query: bool,
}

impl<'de> Deserializer<'de> for ValueReader {
    type Error = FieldError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), _, _) => visitor.visit_u64(value),
                (_, Some(value), _) => visitor.visit_i64(value),
                (_, _, value) => visitor.visit_f64(value.unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Array(items) => visitor.visit_seq(ItemsReader { items: items.into_iter(), position: 0 }),
            Value::Object(fields) => {
                visitor.visit_map(FieldsReader { fields: fields.into_iter(), next: None, is_query: self.is_query })
            }
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match &self.value {
            Value::String(text) if self.is_query => match text.parse() {
                Ok(number) => visitor.visit_u64(number),
                Err(_) => Err(de::Error::invalid_value(Unexpected::Str(text), &"u64")),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_newtype_struct(self)
    }

    /// serde would also accept an array, with the fields in the order of the struct.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        if self.value.is_object() {
            return self.deserialize_any(visitor);
        }
        Err(de::Error::invalid_type(unexpected(&self.value), &visitor))
    }

    /// Reads one of several names. Enums whose variants have fields are not supported.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        match self.value {
            Value::String(name) => {
                let name: StringDeserializer<FieldError> = name.into_deserializer();
                visitor.visit_enum(name)
            }
            other => Err(de::Error::invalid_type(unexpected(&other), &one_of(names).as_str())),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

/// Reads the fields of an object.
struct FieldsReader {
    fields: serde_json::map::IntoIter,
    next: Option<(String, Value)>,
    is_query: bool,
}

impl<'de> MapAccess<'de> for FieldsReader {
    type Error = FieldError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, FieldError> {
        let Some((name, value)) = self.fields.next() else { return Ok(None) };
        let key: StringDeserializer<FieldError> = name.clone().into_deserializer();
        self.next = Some((name, value));
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, FieldError> {
        let (name, value) =
            self.next.take().ok_or_else(|| <FieldError as de::Error>::custom("a field has no value"))?;
        seed.deserialize(ValueReader { value, is_query: self.is_query }).map_err(|error| error.within(name))
    }
}

/// Reads the items of an array.
struct ItemsReader {
    items: std::vec::IntoIter<Value>,
    position: usize,
}

impl<'de> SeqAccess<'de> for ItemsReader {
    type Error = FieldError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, FieldError> {
        let Some(value) = self.items.next() else { return Ok(None) };
        let position = self.position;
        self.position += 1;
        let item = seed.deserialize(ValueReader { value, is_query: false });
        item.map(Some).map_err(|error| error.within(position.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Color {
        #[default]
        Red,
        DarkBlue,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields, expecting = "an object")]
    #[allow(dead_code, reason = "the tests only read it")]
    struct Example {
        count: u64,
        status: Option<u16>,
        share: f64,
        on: bool,
        name: Option<String>,
        color: Color,
        nested: Option<Box<Example>>,
        list: Vec<i64>,
        map: BTreeMap<String, u8>,
    }

    #[derive(Debug, Deserialize)]
    struct Required {
        #[serde(rename = "count")]
        _count: u64,
    }

    #[test]
    fn errors_name_the_field_in_plain_words() {
        let rows = [
            (json!([]), "expected an object, found an array"),
            (json!(null), "expected an object, found null"),
            (json!({ "count": "1" }), "count: expected a whole number of at least 0, found \"1\""),
            (json!({ "count": -1 }), "count: expected a whole number of at least 0, found -1"),
            (json!({ "count": 1.5 }), "count: expected a whole number of at least 0, found 1.5"),
            (json!({ "count": null }), "count: expected a whole number of at least 0, found null"),
            (json!({ "status": 70_000 }), "status: expected a whole number from 0 to 65535, found 70000"),
            (json!({ "count": 1.0 }), "count: expected a whole number of at least 0, found 1.0"),
            (json!({ "count": 1e300 }), "count: expected a whole number of at least 0, found 1e300"),
            (json!({ "share": [] }), "share: expected a number, found an array"),
            (json!({ "on": 1 }), "on: expected true or false, found 1"),
            (json!({ "name": {} }), "name: expected a string, found an object"),
            (json!({ "color": "green" }), "color: unknown value `green`, expected one of `red`, `dark_blue`"),
            (json!({ "color": true }), "color: expected one of `red`, `dark_blue`, found true"),
            (json!({ "nested": [] }), "nested: expected an object, found an array"),
            (json!({ "nested": { "list": [1, "x"] } }), "nested.list.1: expected a whole number, found \"x\""),
            (json!({ "map": [] }), "map: expected an object, found an array"),
            (json!({ "map": { "a": 300 } }), "map.a: expected a whole number from 0 to 255, found 300"),
            (json!({ "nested": { "x": 1 } }), "nested: unknown field `x`, expected one of `count`, "),
        ];
        for (value, expected) in rows {
            let error = read_value::<Example>(value.clone()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{value}: {error}");
        }
        assert_eq!(read_value::<Required>(json!({})).unwrap_err().to_string(), "missing field `count`");
        let long = read_value::<Example>(json!({ "count": "x".repeat(61) })).unwrap_err().to_string();
        assert_eq!(long, format!("count: expected a whole number of at least 0, found \"{}…", "x".repeat(59)));
    }

    #[test]
    fn only_a_query_has_numbers_in_text() {
        let parameters = |count: &str| Map::from_iter([("count".to_owned(), json!(count))]);
        assert_eq!(read_query::<Required>(parameters("7")).unwrap()._count, 7);
        let error = read_query::<Required>(parameters("-7")).unwrap_err().to_string();
        assert_eq!(error, "count: expected a whole number of at least 0, found \"-7\"");
        assert!(read_value::<Required>(json!({ "count": "7" })).is_err());
    }
}
