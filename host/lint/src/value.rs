//! The value of one input in one sample.

use std::fmt;

/// The maximum length of a string that a note shows in full, in bytes.
const MAX_SHOWN: usize = 60;

/// The value of one input in one sample.
#[derive(Clone, Debug, PartialEq)]
pub enum SampleValue {
    /// The value is derived from the other inputs, or is the default.
    Unset,
    Bool(bool),
    Number(f64),
    String(String),
}

impl fmt::Display for SampleValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => f.write_str("not set"),
            Self::Bool(flag) => flag.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::String(text) if text.len() <= MAX_SHOWN => write!(f, "{text:?}"),
            Self::String(text) => {
                let start = &text[..text.floor_char_boundary(MAX_SHOWN)];
                write!(f, "{start:?}… ({} bytes)", text.len())
            }
        }
    }
}
