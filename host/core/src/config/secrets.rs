//! Secrets, from the file itself, the environment or a file of their own; none is ever shown.

use std::path::{Path, PathBuf};

use super::reader::{Section, Value, string};
use crate::Secret;

/// Where a configuration looks up what does not stand in it; tests supply their own.
pub trait Env {
    /// The value of an environment variable, if it is set.
    fn var(&self, name: &str) -> Option<String>;

    /// The contents of a file.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn file(&self, path: &Path) -> Result<String, String>;
}

/// The environment and the files of this process.
#[derive(Clone, Debug, Default)]
pub struct SystemEnv {
    /// What relative paths begin at: the directory of the configuration file.
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

/// The three keys under which one secret may stand: plainly, as the name of a variable, as a path.
pub(super) type Keys = [&'static str; 3];

/// The secret that stands under one of `keys`; the outer `None` where it is a problem, the inner where it is absent.
pub(super) fn optional(section: &mut Section<'_>, keys: Keys, env: &dyn Env) -> Option<Option<Secret>> {
    let [plain, var, file] = keys;
    let given: Vec<_> = keys.into_iter().filter(|key| section.has(key)).collect();
    let secret = match given[..] {
        [] => return Some(None),
        [key] if key == plain => section.optional(plain, |value| sealed(value, string(value)?, "the value")),
        [key] if key == var => section.optional(var, |value| from_var(value, env)),
        [_] => section.optional(file, |value| from_file(value, env)),
        [_, .., last] => {
            section.refuse_value(last, &format!("give only one of `{plain}`, `{var}` and `{file}`"));
            None
        }
    };
    secret.map(Some)
}

/// The secret that stands under one of `keys`; its absence is a problem.
pub(super) fn required(section: &mut Section<'_>, keys: Keys, env: &dyn Env) -> Option<Secret> {
    let secret = optional(section, keys, env)?;
    if secret.is_none() {
        let [plain, var, file] = keys;
        section.refuse(&format!("`{plain}` is missing; give `{plain}`, `{var}` or `{file}`"));
    }
    secret
}

fn from_var(value: &Value<'_>, env: &dyn Env) -> Option<Secret> {
    let name = string(value)?;
    match env.var(&name) {
        Some(text) => sealed(value, text, &format!("the environment variable {name}")),
        None => value.refuse(&format!("the environment variable {name} is not set")),
    }
}

fn from_file(value: &Value<'_>, env: &dyn Env) -> Option<Secret> {
    let path = string(value)?;
    match env.file(Path::new(&path)) {
        Ok(text) => sealed(value, text, &format!("the file {path}")),
        Err(error) => value.refuse(&format!("the file {path} cannot be read: {error}")),
    }
}

/// Line ends around a secret are not part of it: editors and `echo` leave one.
fn sealed(value: &Value<'_>, text: String, origin: &str) -> Option<Secret> {
    match text.trim() {
        "" => value.refuse(&format!("{origin} is empty")),
        secret => Some(Secret::new(secret)),
    }
}
