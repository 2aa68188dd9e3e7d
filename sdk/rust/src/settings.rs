//! The settings of a policy from the host's configuration.

use std::collections::BTreeMap;

use crate::__private::bindings::retry::tidegate::policy::settings_types;

/// The value of a setting.
pub use settings_types::Setting;

/// The settings of a policy.
///
/// A policy removes each setting that it knows. [`Settings::finish`] then reports the settings that are left, because
/// they are mistakes in the configuration. The errors are strings, because a policy returns them to the host as text.
///
/// ```
/// use tidegate_sdk::{Setting, Settings};
/// let configured = || Settings::from(vec![("max_wait_s".to_owned(), Setting::Number(60.0))]);
/// let mut settings = configured();
/// assert_eq!(settings.number("max_wait_s", 30.0), Ok(60.0));
/// assert_eq!(settings.text("region", "cn").as_deref(), Ok("cn"));
/// assert_eq!(settings.finish(), Ok(()));
/// assert_eq!(configured().flag("max_wait_s", true).unwrap_err(), "`max_wait_s`: expected true or false, found 60");
/// assert_eq!(configured().finish().unwrap_err(), "unknown setting: `max_wait_s`");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings(BTreeMap<String, Setting>);

impl From<Vec<(String, Setting)>> for Settings {
    fn from(settings: Vec<(String, Setting)>) -> Self {
        settings.into_iter().collect()
    }
}

impl FromIterator<(String, Setting)> for Settings {
    fn from_iter<I: IntoIterator<Item = (String, Setting)>>(settings: I) -> Self {
        Self(settings.into_iter().collect())
    }
}

/// Returns the error of a setting of the wrong type.
fn mismatch(name: &str, expected: &str, found: &Setting) -> String {
    let found = match found {
        Setting::Flag(flag) => flag.to_string(),
        Setting::Number(number) => number.to_string(),
        Setting::Text(text) => format!("{text:?}"),
    };
    format!("`{name}`: expected {expected}, found {found}")
}

impl Settings {
    /// Removes the setting `name` and returns its number, or `default` if it is not set.
    ///
    /// # Errors
    /// Returns an error if the setting is not a number.
    pub fn number(&mut self, name: &str, default: f64) -> Result<f64, String> {
        match self.0.remove(name) {
            None => Ok(default),
            Some(Setting::Number(number)) => Ok(number),
            Some(other) => Err(mismatch(name, "a number", &other)),
        }
    }

    /// Removes the setting `name` and returns its text, or `default` if it is not set.
    ///
    /// # Errors
    /// Returns an error if the setting is not a string.
    pub fn text(&mut self, name: &str, default: &str) -> Result<String, String> {
        match self.0.remove(name) {
            None => Ok(default.to_owned()),
            Some(Setting::Text(text)) => Ok(text),
            Some(other) => Err(mismatch(name, "a string", &other)),
        }
    }

    /// Removes the setting `name` and returns its boolean, or `default` if it is not set.
    ///
    /// # Errors
    /// Returns an error if the setting is not a boolean.
    pub fn flag(&mut self, name: &str, default: bool) -> Result<bool, String> {
        match self.0.remove(name) {
            None => Ok(default),
            Some(Setting::Flag(flag)) => Ok(flag),
            Some(other) => Err(mismatch(name, "true or false", &other)),
        }
    }

    /// Checks that no setting is left.
    ///
    /// # Errors
    /// Returns an error that names the settings that were not removed.
    pub fn finish(self) -> Result<(), String> {
        let names: Vec<_> = self.0.keys().map(|name| format!("`{name}`")).collect();
        if names.is_empty() { Ok(()) } else { Err(format!("unknown setting: {}", names.join(", "))) }
    }
}
