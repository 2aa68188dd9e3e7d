//! Masks secrets, so that they reach neither the log nor the status of policies.
//!
//! One rule decides everywhere: [`is_secret_name`] says whether the value of a name is a secret. [`Masker`] finds names
//! and values in JSON, [`text`] finds them in other text, and [`markup`] in the tags of XML and HTML.

mod markup;
mod repeated;
mod text;
mod work;

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use serde::Serialize;
use serde_json::Value;
use tidegate_core::secret::is_secret_name;

use self::repeated::{SecretSearch, Sequences};

/// The replacement of a secret.
const MASK: &str = "***";
/// The minimum size of a secret that is masked wherever it is repeated, in bytes. Shorter values are too common.
const MIN_REPEATED_SIZE: usize = 4;
/// The fields with identifiers, which never repeat a secret on purpose, and which a replay needs as they are.
const IDENTIFIERS: [&str; 7] = ["platform", "endpoint", "kind", "action", "class", "code", "sub_code"];

/// Masks secrets, and remembers them in order to mask their repetitions.
#[derive(Default)]
pub struct Masker {
    secrets: HashSet<String>,
}

impl Masker {
    /// Creates a masker that remembers the secrets of an input.
    pub fn of(input: &impl Serialize) -> Self {
        let mut masker = Self::default();
        if let Ok(mut input) = serde_json::to_value(input) {
            masker.mask(&mut input);
        }
        masker
    }

    /// Returns a short text of a policy without secrets, also without the remembered ones.
    pub fn message(&mut self, message: &str) -> String {
        let message = self.text(message);
        self.without_repeated(&message)
    }

    /// Masks the values of names that denote a secret, also in the strings of `value`.
    ///
    /// The names are those of fields, of pairs such as `["token", "…"]` and `{"name": "token", "value": "…"}`, and
    /// those in text; see [`Masker::text`].
    pub fn mask(&mut self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                let names_secret = fields
                    .iter()
                    .any(|(name, value)| is_key_name(name) && value.as_str().is_some_and(is_secret_identifier));
                for (name, value) in fields {
                    if is_secret_name(name) || names_secret && is_value_name(name) {
                        self.mask_all(value);
                    } else {
                        self.mask(value);
                    }
                }
            }
            // A header is a pair of name and value.
            Value::Array(values) => match &mut values[..] {
                [Value::String(name), value] if is_secret_identifier(name) => self.mask_all(value),
                values => values.iter_mut().for_each(|value| self.mask(value)),
            },
            Value::String(text) => *text = self.text(text),
            _ => {}
        }
    }

    /// Masks every string in the value of a name that denotes a secret. A number may be a count, such as the
    /// `total_tokens` of a language model, so numbers stay.
    fn mask_all(&mut self, value: &mut Value) {
        match value {
            Value::String(text) if !text.is_empty() => self.add(std::mem::replace(text, MASK.to_owned())),
            Value::Array(values) => values.iter_mut().for_each(|value| self.mask_all(value)),
            Value::Object(fields) => fields.values_mut().for_each(|value| self.mask_all(value)),
            _ => {}
        }
    }

    /// Returns a text, such as a body or the message of a fault, with its secrets masked: JSON, XML, HTML, forms, URLs,
    /// headers and prose that contains them. A text without secrets is returned as it is, so that a replay evaluates a
    /// policy on the same text.
    pub fn text(&mut self, text: &str) -> String {
        let masked = self.unparsed_text(text);
        if !text.trim_start().starts_with(['{', '[']) {
            return masked;
        }
        let Ok(mut value) = serde_json::from_str::<Value>(text) else { return masked };
        self.mask(&mut value);
        // Prefer the masked text: a parsed value loses the order of keys, the spaces and the digits of a number.
        if serde_json::from_str::<Value>(&masked).is_ok_and(|masked| masked == value) {
            masked
        } else {
            value.to_string()
        }
    }

    fn unparsed_text(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut copied = 0;
        for range in text::secret_ranges(text) {
            out.push_str(&text[copied..range.start]);
            out.push_str(MASK);
            copied = range.end;
            self.add(text[range].to_owned());
        }
        out + &text[copied..]
    }

    /// Masks the secrets that were found so far wherever a string repeats them, except in identifiers such as the name
    /// of the platform.
    pub fn mask_repeated(&self, value: &mut Value) {
        if !self.secrets.is_empty() {
            mask_repeated(value, &SecretSearch::new(self.secrets.iter().map(String::as_str)));
        }
    }

    /// Returns a short text, such as a message, without the secrets that were found so far.
    pub fn without_repeated(&self, text: &str) -> String {
        if self.secrets.is_empty() {
            return text.to_owned();
        }
        let sequences = Sequences::of(text);
        let secrets = self.secrets.iter().map(String::as_str).filter(|secret| sequences.may_contain(secret));
        SecretSearch::new(secrets).mask(text)
    }

    /// Remembers a secret, and the credentials in it: `abc1` in `Bearer abc1` and in `id=abc1; path=/`.
    fn add(&mut self, secret: String) {
        work::add(secret.len());
        let parts = secret.split([' ', ';', ',', '=']).filter(|part| text::looks_like_credential(part));
        self.secrets.extend(parts.filter(|part| is_remembered(part)).map(str::to_owned));
        if is_remembered(&secret) {
            self.secrets.insert(secret);
        }
    }
}

/// Returns whether a secret is masked wherever it is repeated. A short lower-case word is not: a field such as
/// `token_type` or `session_expired` may contain it, and other texts need it.
fn is_remembered(secret: &str) -> bool {
    let is_common_word = secret.len() < 12
        && secret
            .bytes()
            .enumerate()
            .all(|(at, byte)| byte.is_ascii_lowercase() || at == 0 && byte.is_ascii_uppercase());
    secret.len() >= MIN_REPEATED_SIZE && secret != MASK && !is_common_word
}

fn mask_repeated(value: &mut Value, secrets: &SecretSearch) {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter_mut().filter(|(name, _)| !IDENTIFIERS.contains(&name.as_str()));
            fields.for_each(|(_, value)| mask_repeated(value, secrets));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| mask_repeated(value, secrets)),
        Value::String(text) => *text = secrets.mask(text),
        _ => {}
    }
}

/// Returns a message of a policy without secrets, also without those that it repeats from its input or its settings.
pub fn masked_message(message: &str, input: &impl Serialize) -> String {
    Masker::of(input).message(message)
}

/// Returns whether a text is nothing but a name that denotes a secret.
fn is_secret_identifier(text: &str) -> bool {
    let is_identifier = text.len() <= 64 && text.bytes().all(|byte| text::is_name_byte(byte) || b":.".contains(&byte));
    is_identifier && is_secret_name(text)
}

/// Returns whether a field of this name contains the name of a pair whose other field contains the value.
fn is_key_name(name: &str) -> bool {
    ["name", "key", "field", "param", "parameter", "header", "n", "k"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

/// Returns whether a field of this name contains the value of a pair whose other field contains the name.
fn is_value_name(name: &str) -> bool {
    ["value", "values", "val", "v", "content", "data"].iter().any(|known| name.eq_ignore_ascii_case(known))
}
