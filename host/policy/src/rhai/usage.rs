//! Records which inputs, functions and settings a script uses; inputs that it does not use are not computed.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;

use tidegate_core::config::reader::{Diagnostic, Position, with_suggestion};
use tidegate_core::config::{Setting, Settings};

/// The variables, functions and settings that a script uses.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    variables: BTreeSet<String>,
    calls: BTreeSet<String>,
    /// The settings by name, each with a value of its type.
    settings: BTreeMap<String, Setting>,
}

impl Usage {
    /// Records that the script reads a variable.
    pub fn add_variable(&mut self, name: &str) {
        self.variables.insert(name.to_owned());
    }

    /// Records that the script calls a function.
    pub fn add_call(&mut self, name: &str) {
        self.calls.insert(name.to_owned());
    }

    /// Records that the script reads a setting of the type of `default`.
    ///
    /// # Errors
    /// Returns an error if the script reads the setting with a default of another type elsewhere.
    pub fn add_setting(&mut self, name: &str, default: Setting) -> Result<(), String> {
        let known = self.settings.entry(name.to_owned()).or_insert_with(|| default.clone());
        if discriminant(known) == discriminant(&default) {
            return Ok(());
        }
        let known = type_label(known);
        Err(format!(
            "the default of the setting `{name}` is {known} elsewhere in the script; use the same type everywhere"
        ))
    }

    /// Returns whether the script may read a variable.
    pub fn reads(&self, name: &str) -> bool {
        self.variables.contains(name) || self.calls("is_def_var")
    }

    /// Returns whether the script calls a function.
    pub fn calls(&self, name: &str) -> bool {
        self.calls.contains(name)
    }

    /// Returns what the functions that the script calls need from the host.
    pub fn host_needs(&self) -> HostNeeds {
        let needs = HostNeeds {
            headers: self.calls("header"),
            labels: self.calls("label"),
            view: self.calls("window") || self.calls("limit"),
            settings: self.calls("setting"),
            log: self.calls("log"),
            any: false,
        };
        HostNeeds { any: needs.headers || needs.labels || needs.view || needs.settings || needs.log, ..needs }
    }

    /// Checks the configured settings against those that the script reads.
    ///
    /// # Errors
    /// Returns a problem for every configured setting that the script does not read, or reads with another type. The
    /// position is the start of the script, because the position in the configuration is not known here.
    pub fn check_settings(&self, settings: &Settings) -> Result<(), Vec<Diagnostic>> {
        let names: Vec<_> = self.settings.keys().map(String::as_str).collect();
        let messages = settings.iter().filter_map(|(name, value)| match self.settings.get(name) {
            None if names.is_empty() => Some(format!(
                "the configuration has the setting `{name}`, but the script reads no settings; read it with \
                 setting(\"{name}\", …), or remove it from the configuration"
            )),
            None => Some(with_suggestion(
                format!("the configuration has the setting `{name}`, which the script does not read"),
                name,
                &names,
            )),
            Some(default) if discriminant(default) != discriminant(value) => {
                let (expected, found) = (type_label(default), type_label(value));
                Some(format!("the setting `{name}` is {expected} in the script, but {found} in the configuration"))
            }
            Some(_) => None,
        });
        let problems: Vec<_> = messages.map(|message| Diagnostic::new(Position::START, message)).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// What the functions that a script calls need from the host, besides their arguments.
#[derive(Clone, Copy)]
pub struct HostNeeds {
    /// The selected HTTP headers.
    pub headers: bool,
    /// The labels of the request.
    pub labels: bool,
    /// The metrics and limits.
    pub view: bool,
    /// The settings of the policy.
    pub settings: bool,
    /// The file name of the policy, for its log.
    pub log: bool,
    /// Whether any of the above is needed.
    pub any: bool,
}

const fn type_label(setting: &Setting) -> &'static str {
    match setting {
        Setting::Flag(_) => "a boolean",
        Setting::Number(_) => "a number",
        Setting::Text(_) => "a string",
    }
}
