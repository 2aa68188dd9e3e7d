//! Secrets: each is read from the configuration file, an environment variable or another file, and is never shown.

use std::path::{Path, PathBuf};

use super::reader::{Origin, Section, TomlValue, string};
use crate::Secret;

/// The environment variables and files that a configuration refers to. Tests supply their own.
pub trait Env {
    /// Returns the value of an environment variable, if it is set.
    fn var(&self, name: &str) -> Option<String>;

    /// Returns the contents of a file.
    ///
    /// # Errors
    /// Returns the reason if the file cannot be read.
    fn file(&self, path: &Path) -> Result<String, String>;
}

/// The environment variables and the files of this process.
#[derive(Clone, Debug, Default)]
pub struct SystemEnv {
    /// The directory of the configuration file; relative paths start here.
    pub dir: PathBuf,
}

impl Env for SystemEnv {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        std::fs::read_to_string(self.dir.join(path)).map_err(|error| error.to_string())
    }
}

/// The three keys of a secret: for its value, for the name of an environment variable, and for the path of a file.
pub(super) type SecretKeys = [&'static str; 3];

/// Reads the secret under one of `keys`. The outer `None` is a rejected value, the inner one an absent secret.
pub(super) fn optional(section: &mut Section<'_>, keys: SecretKeys, env: &dyn Env) -> Option<Option<Secret>> {
    let [plain, var, file] = keys;
    let given: Vec<_> = keys.into_iter().filter(|key| section.contains_key(key)).collect();
    let read = match given[..] {
        [] => return Some(None),
        [key] if key == plain => section.optional_unrecorded(plain, from_text),
        [key] if key == var => section.optional_unrecorded(var, |value| from_var(value, env)),
        [_] => section.optional_unrecorded(file, |value| from_file(value, env)),
        [_, .., last] => {
            section.reject_value(last, &format!("give only one of `{plain}`, `{var}` and `{file}`"));
            None
        }
    };
    let (secret, origin) = read?;
    section.record(plain, "\"***\"", origin);
    Some(Some(secret))
}

/// Reads the secret under one of `keys`; reports a missing secret.
pub(super) fn required(section: &mut Section<'_>, keys: SecretKeys, env: &dyn Env) -> Option<Secret> {
    let secret = optional(section, keys, env)?;
    if secret.is_none() {
        let [plain, var, file] = keys;
        section.reject(&format!("`{plain}` is missing; give `{plain}`, `{var}` or `{file}`"));
    }
    secret
}

fn from_text(value: &TomlValue<'_>) -> Option<(Secret, Origin)> {
    Some((trimmed_secret(value, string(value)?, "the value")?, value.origin()))
}

fn from_var(value: &TomlValue<'_>, env: &dyn Env) -> Option<(Secret, Origin)> {
    let name = string(value)?;
    let secret = match env.var(&name) {
        Some(text) => trimmed_secret(value, text, &format!("the environment variable {name}")),
        None => value.reject(&format!("the environment variable {name} is not set")),
    };
    Some((secret?, Origin::Environment(name)))
}

fn from_file(value: &TomlValue<'_>, env: &dyn Env) -> Option<(Secret, Origin)> {
    let path = string(value)?;
    let secret = match env.file(Path::new(&path)) {
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
