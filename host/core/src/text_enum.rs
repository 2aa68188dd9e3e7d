//! Enums whose values have names: the same text in configuration, rules, JSON, metrics and on the command line.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, VariantAccess, Visitor};

/// The error of a text that is not the name of any value of an enum.
///
/// ```
/// use tidegate_core::Severity;
/// let error = "urgent".parse::<Severity>().unwrap_err();
/// assert_eq!(error.to_string(), r#"expected "info", "warning" or "critical", found "urgent""#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseNameError {
    names: &'static [&'static str],
    found: String,
}

impl fmt::Display for ParseNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found {:?}", alternatives(self.names), self.found)
    }
}

impl std::error::Error for ParseNameError {}

/// Returns names as a sentence lists them: `"open", "closed" or "local"`.
pub(crate) fn alternatives(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.concat(),
    }
}

/// Gives an enum without fields its names: `ALL`, `as_str`, `Display`, `FromStr` and serde with the same text.
///
/// It is public only because other crates of tidegate define such enums too. It is not part of the public API, and may
/// change in any release.
#[doc(hidden)]
#[macro_export]
macro_rules! text_enum {
    ($type:ident { $($variant:ident => $name:literal),+ $(,)? }) => {
        impl $type {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The name of every value, in the same order.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// Returns the name, which is the same in configuration, JSON, metrics and logs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }

        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl ::std::str::FromStr for $type {
            type Err = $crate::ParseNameError;

            fn from_str(text: &str) -> ::std::result::Result<Self, $crate::ParseNameError> {
                $crate::text_enum::parse(text, Self::NAMES, Self::ALL)
            }
        }

        impl ::serde::Serialize for $type {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> ::std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $type {
            fn deserialize<D: ::serde::Deserializer<'de>>(from: D) -> ::std::result::Result<Self, D::Error> {
                $crate::text_enum::deserialize(from, stringify!($type), Self::NAMES, Self::ALL)
            }
        }
    };
}

/// Returns the value with the name `text`. `names` and `values` have the same order.
///
/// # Errors
/// Returns an error if no value has this name.
pub fn parse<T: Copy>(text: &str, names: &'static [&'static str], values: &[T]) -> Result<T, ParseNameError> {
    let named = names.iter().zip(values).find(|(name, _)| **name == text);
    named.map(|(_, value)| *value).ok_or_else(|| ParseNameError { names, found: text.to_owned() })
}

/// Deserializes a value from its name.
///
/// It asks for an enum rather than for a string, so that the error of a deserializer can list the names.
///
/// # Errors
/// Returns an error if the input is not the name of a value.
pub fn deserialize<'de, T: Copy, D: Deserializer<'de>>(
    from: D,
    type_name: &'static str,
    names: &'static [&'static str],
    values: &'static [T],
) -> Result<T, D::Error> {
    from.deserialize_enum(type_name, names, NameVisitor { names, values, lifetime: PhantomData })
}

struct NameVisitor<'de, T: 'static> {
    names: &'static [&'static str],
    values: &'static [T],
    lifetime: PhantomData<&'de ()>,
}

impl<'de, T: Copy> Visitor<'de> for NameVisitor<'de, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&alternatives(self.names))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<T, A::Error> {
        let (value, content) = data.variant_seed(self)?;
        content.unit_variant()?;
        Ok(value)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        parse(text, self.names, self.values).map_err(|_| E::unknown_variant(text, self.names))
    }
}

impl<'de, T: Copy> DeserializeSeed<'de> for NameVisitor<'de, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<T, D::Error> {
        from.deserialize_identifier(self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::{Debug, Display};
    use std::str::FromStr;

    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::config::{Isolation, RedisKind};
    use crate::window::Resolution;
    use crate::{
        Action, AlertPhase, BuiltinAlert, Class, FailureKind, FaultKind, OnRedisFailure, Outcome, Severity, Transition,
    };

    /// Checks that a value has the same name in every text, and returns the names.
    fn names<T>(values: &[T]) -> Vec<String>
    where
        T: Copy + Debug + PartialEq + Display + FromStr<Err = ParseNameError> + Serialize + DeserializeOwned,
    {
        let name = |value: &T| {
            let name = value.to_string();
            assert_eq!(name.parse(), Ok(*value));
            assert_eq!(serde_json::to_string(value).unwrap(), format!("{name:?}"));
            assert_eq!(serde_json::from_str::<T>(&format!("{name:?}")).unwrap(), *value);
            assert_eq!(format!("{value:>20}"), format!("{name:>20}"), "a table pads the name");
            name
        };
        values.iter().map(name).collect()
    }

    #[test]
    fn name_is_the_same_in_every_text() {
        let rows = [
            (names(Action::ALL), "retry give_up default"),
            (names(Class::ALL), "throttled quota transient auth permanent"),
            (names(FailureKind::ALL), "timeout connection response"),
            (names(FaultKind::ALL), "deadline operations memory trap type"),
            (names(Outcome::ALL), "success error limited"),
            (names(Severity::ALL), "info warning critical"),
            (names(Transition::ALL), "firing still_firing resolved"),
            (names(AlertPhase::ALL), "pending firing"),
            (names(BuiltinAlert::ALL), "redis_unavailable policy_quarantined policies_differ"),
            (names(OnRedisFailure::ALL), "open closed local"),
            (names(Isolation::ALL), "reuse fresh"),
            (names(RedisKind::ALL), "single sentinel cluster"),
            (names(Resolution::ALL), "minute hour day"),
        ];
        for (names, expected) in rows {
            assert_eq!(names.join(" "), expected);
        }
    }

    #[test]
    fn other_text_is_rejected_with_the_names() {
        for text in ["", "Firing", "still firing", " firing"] {
            let error = text.parse::<Transition>().unwrap_err().to_string();
            assert_eq!(error, format!(r#"expected "firing", "still_firing" or "resolved", found {text:?}"#));
        }
        let json = |text| serde_json::from_str::<Isolation>(text).unwrap_err().to_string();
        assert_eq!(json("\"new\""), "unknown variant `new`, expected `reuse` or `fresh` at line 1 column 5");
        for text in ["1", "null", "[\"fresh\"]"] {
            assert_eq!(json(text), "expected value at line 1 column 1", "{text}");
        }
        assert_eq!(json("{\"fresh\": 1}"), "invalid type: integer `1`, expected unit at line 1 column 11");
    }

    #[test]
    fn name_is_a_key_of_a_map() {
        let counts = BTreeMap::from([(FaultKind::Trap, 2)]);
        assert_eq!(serde_json::to_string(&counts).unwrap(), r#"{"trap":2}"#);
        assert_eq!(serde_json::from_str::<BTreeMap<FaultKind, u64>>(r#"{"trap":2}"#).unwrap(), counts);
        assert!(serde_json::from_str::<BTreeMap<FaultKind, u64>>(r#"{"trip":2}"#).is_err());
    }
}
