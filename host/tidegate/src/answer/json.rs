//! Looks for errors in JSON: what nobody asked for is skipped and never kept.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::found::{Found, Way};

/// Reads as far as the text is JSON; what was found before a mistake, or before the end of a cut body, counts.
pub fn read(text: &str, found: &mut Found) {
    let mut json = serde_json::Deserializer::from_str(text);
    let way = found.top();
    let _ = Look { found, way }.deserialize(&mut json); // no JSON, no error inside
}

/// Looks at a value on the way to a place.
struct Look<'a> {
    found: &'a mut Found,
    way: Way,
}

impl<'de> DeserializeSeed<'de> for Look<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

/// Visits of values that hold nothing of interest.
macro_rules! pass {
    ($($visit:ident: $kind:ty),+) => { $(fn $visit<E>(self, _: $kind) -> Result<Self::Value, E> { Ok(Self::Value::default()) })+ };
}

impl<'de> Visitor<'de> for Look<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let opened = self.found.open(self.way);
        while let Some(name) = map.next_key::<String>()? {
            if self.found.wants(self.way, &name) {
                if let Some(value) = map.next_value_seed(Scalar)? {
                    self.found.put(self.way, opened, &name, &value);
                }
            } else if let Some(way) = self.found.down(self.way, &name) {
                map.next_value_seed(Look { found: self.found, way })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Look { found: self.found, way: self.way })?.is_some() {}
        Ok(())
    }

    pass! { visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A text, a number, true or false as text; anything else is none.
struct Scalar;

impl<'de> DeserializeSeed<'de> for Scalar {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

/// Visits of values that are told as they are shown.
macro_rules! show {
    ($($visit:ident: $kind:ty),+) => { $(fn $visit<E>(self, value: $kind) -> Result<Self::Value, E> { Ok(Some(value.to_string())) })+ };
}

impl<'de> Visitor<'de> for Scalar {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    show! { visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str }

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
