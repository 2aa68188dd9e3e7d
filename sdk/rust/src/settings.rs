//! What a policy is set to in the host's configuration.

use std::collections::BTreeMap;

use crate::bindings::retry::tidegate::policy::settings_types;

/// One setting.
pub use settings_types::Setting;

/// The settings of a policy: each is taken once, and what nobody takes is a mistake in the configuration.
///
/// ```
/// use tidegate_sdk::{Setting, Settings};
/// let given = || Settings::from(vec![("longest".to_owned(), Setting::Number(60.0))]);
/// let mut settings = given();
/// assert_eq!(settings.number("longest", 30.0), Ok(60.0));
/// assert_eq!(settings.text("region", "cn").as_deref(), Ok("cn"));
/// assert_eq!(settings.finish(), Ok(()));
/// assert_eq!(given().finish().unwrap_err(), "no such setting: `longest`");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings(BTreeMap<String, Setting>);

impl From<Vec<(String, Setting)>> for Settings {
    fn from(settings: Vec<(String, Setting)>) -> Self {
        Self(settings.into_iter().collect())
    }
}

impl Settings {
    /// Takes a number.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn number(&mut self, name: &str, default: f64) -> Result<f64, String> {
        match self.0.remove(name) {
            None => Ok(default),
            Some(Setting::Number(number)) => Ok(number),
            Some(_) => Err(format!("`{name}`: expected a number")),
        }
    }

    /// Takes a text.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn text(&mut self, name: &str, default: &str) -> Result<String, String> {
        match self.0.remove(name) {
            None => Ok(default.to_owned()),
            Some(Setting::Text(text)) => Ok(text),
            Some(_) => Err(format!("`{name}`: expected a text")),
        }
    }

    /// Takes true or false.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn flag(&mut self, name: &str, default: bool) -> Result<bool, String> {
        match self.0.remove(name) {
            None => Ok(default),
            Some(Setting::Flag(flag)) => Ok(flag),
            Some(_) => Err(format!("`{name}`: expected true or false")),
        }
    }

    /// Refuses what nobody took.
    ///
    /// # Errors
    /// Its names.
    pub fn finish(self) -> Result<(), String> {
        let names: Vec<_> = self.0.keys().map(|name| format!("`{name}`")).collect();
        if names.is_empty() { Ok(()) } else { Err(format!("no such setting: {}", names.join(", "))) }
    }
}
