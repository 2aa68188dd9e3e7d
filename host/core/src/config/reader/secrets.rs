//! Secrets: each is read from the configuration file, an environment variable or another file, and is never shown.

use std::io;
use std::path::Path;

use super::{Origin, Section, TomlValue, string};
use crate::Secret;

/// The three keys of a secret: for its value, for the name of an environment variable, and for the path of a file.
struct SecretKeys {
    plain: &'static str,
    var: String,
    file: String,
}

impl SecretKeys {
    fn new(key: &'static str) -> Self {
        Self { plain: key, var: format!("{key}_env"), file: format!("{key}_file") }
    }
}

impl Section<'_> {
    /// Returns the secret under `key` (its value), `key_env` (the name of an environment variable that contains it) or
    /// `key_file` (the path of a file that contains it).
    ///
    /// The outer `None` is a rejected value, the inner one an absent secret. No message contains the secret.
    ///
    /// ```
    /// use tidegate_core::Secret;
    /// use tidegate_core::config::reader;
    /// let read = |text| reader::read(text, |section| section.optional_secret("token"));
    /// assert_eq!(read("token = 'hunter2'"), Ok(Some(Secret::new("hunter2"))));
    /// assert_eq!(read(""), Ok(None));
    /// let diagnostics = read("token = 'hunter2'\ntoken_env = 'TOKEN'").unwrap_err();
    /// assert_eq!(diagnostics.to_string(), "2:13: token_env: give only one of `token`, `token_env` and `token_file`");
    /// ```
    pub fn optional_secret(&mut self, key: &'static str) -> Option<Option<Secret>> {
        let SecretKeys { plain, var, file } = SecretKeys::new(key);
        let values = [plain.to_owned(), var.clone(), file.clone()].map(|key| {
            let entry = self.entry(key)?;
            Some(self.value(&entry))
        });
        let read = match &values {
            [None, None, None] => return Some(None),
            [Some(value), None, None] => from_text(value),
            [None, Some(value), None] => from_var(value),
            [None, None, Some(value)] => from_file(value),
            [_, value, last] => {
                let last = last.as_ref().or(value.as_ref())?;
                last.reject(&format!("give only one of `{plain}`, `{var}` and `{file}`"))
            }
        };
        let (secret, origin) = read?;
        self.record(plain, "\"***\"", origin);
        Some(Some(secret))
    }

    /// Returns the secret under `key`, `key_env` or `key_file`, like [`Section::optional_secret`]; reports a missing
    /// secret.
    pub fn required_secret(&mut self, key: &'static str) -> Option<Secret> {
        let secret = self.optional_secret(key)?;
        if secret.is_none() {
            let SecretKeys { plain, var, file } = SecretKeys::new(key);
            self.reject(&format!("`{plain}` is missing; give `{plain}`, `{var}` or `{file}`"));
        }
        secret
    }

    /// Reports a mistake about the secret `key`, at the position of the key that the section contains.
    pub fn reject_secret(&self, key: &'static str, message: &str) {
        let SecretKeys { plain, var, file } = SecretKeys::new(key);
        let given = [plain, &var, &file].into_iter().find(|key| self.document_contains(key));
        self.reject_value(given.unwrap_or(plain), message);
    }
}

fn from_text(value: &TomlValue<'_>) -> Option<(Secret, Origin)> {
    Some((trimmed_secret(value, string(value)?, "the value")?, value.origin()))
}

fn from_var(value: &TomlValue<'_>) -> Option<(Secret, Origin)> {
    let name = string(value)?;
    let secret = match value.source.report.env.var(&name) {
        Ok(text) => trimmed_secret(value, text, &format!("the environment variable {name}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            value.reject(&format!("the environment variable {name} is not set"))
        }
        Err(error) => value.reject(&format!("the environment variable {name} cannot be read: {error}")),
    };
    Some((secret?, Origin::Environment(name)))
}

fn from_file(value: &TomlValue<'_>) -> Option<(Secret, Origin)> {
    let path = string(value)?;
    let secret = match value.source.report.env.read_file(Path::new(&path)) {
        Ok(text) => trimmed_secret(value, text, &format!("the file {path}")),
        Err(error) => value.reject(&format!("the file {path} cannot be read: {error}")),
    };
    Some((secret?, Origin::SecretFile(path)))
}

/// Trims a secret, because editors and `echo` add a line break, and rejects an empty one.
fn trimmed_secret(value: &TomlValue<'_>, text: String, source: &str) -> Option<Secret> {
    match text.trim() {
        "" => value.reject(&format!("{source} is empty")),
        secret => Some(Secret::new(secret)),
    }
}
