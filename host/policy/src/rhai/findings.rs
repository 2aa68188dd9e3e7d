//! What a script uses of what it is offered: what it does not use need not be made.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;

use tidegate_core::config::reader::{Problem, suggestion};
use tidegate_core::config::{Setting, Settings};

/// What a script uses.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    names: BTreeSet<String>,
    calls: BTreeSet<String>,
    /// Its settings, with the kind of each.
    settings: BTreeMap<String, Setting>,
}

impl Findings {
    /// It reads a variable.
    pub fn read(&mut self, name: &str) {
        self.names.insert(name.to_owned());
    }

    /// It calls a function.
    pub fn called(&mut self, name: &str) {
        self.calls.insert(name.to_owned());
    }

    /// It has a setting of this kind.
    ///
    /// # Errors
    /// Where it has one of that name and of another kind.
    pub fn set(&mut self, name: &str, kind: Setting) -> Result<(), String> {
        let known = self.settings.entry(name.to_owned()).or_insert_with(|| kind.clone());
        if discriminant(known) == discriminant(&kind) {
            return Ok(());
        }
        Err(format!("the setting `{name}` is {} elsewhere; give it one kind of default", named(known)))
    }

    /// Whether it may read a variable.
    pub fn reads(&self, name: &str) -> bool {
        self.names.contains(name) || self.calls("is_def_var")
    }

    /// Whether it calls a function.
    pub fn calls(&self, name: &str) -> bool {
        self.calls.contains(name)
    }

    /// What its functions need besides their arguments.
    pub fn needs(&self) -> Needs {
        let needs = Needs {
            headers: self.calls("header"),
            labels: self.calls("label"),
            sight: self.calls("window") || self.calls("limit"),
            settings: self.calls("setting"),
            log: self.calls("log"),
            any: false,
        };
        Needs { any: needs.headers || needs.labels || needs.sight || needs.settings || needs.log, ..needs }
    }

    /// Refuses settings that the script does not have, or has of another kind.
    ///
    /// # Errors
    /// Every one, at the script's beginning: where it is set is in the configuration.
    pub fn refuse_odd_settings(&self, settings: &Settings) -> Result<(), Vec<Problem>> {
        let names: Vec<_> = self.settings.keys().map(String::as_str).collect();
        let odd = settings.iter().filter_map(|(name, given)| match self.settings.get(name) {
            None if names.is_empty() => Some(format!(
                "its settings name `{name}`, and the script asks for none; ask for it by setting(\"{name}\", …), or take it out"
            )),
            None => Some(format!("its settings name `{name}`, which it never asks for; {}", suggestion(name, &names))),
            Some(kind) if discriminant(kind) != discriminant(given) => {
                Some(format!("its setting `{name}` is {}, and the configuration gives {}", named(kind), named(given)))
            }
            Some(_) => None,
        });
        let odd: Vec<_> = odd.map(|message| Problem { line: 1, column: 1, message }).collect();
        if odd.is_empty() { Ok(()) } else { Err(odd) }
    }
}

/// What the functions that a script calls need besides their arguments.
#[derive(Clone, Copy)]
pub struct Needs {
    /// The chosen headers.
    pub headers: bool,
    /// The labels of a request.
    pub labels: bool,
    /// Metrics and limits.
    pub sight: bool,
    /// What the policy is set to.
    pub settings: bool,
    /// The name of its file.
    pub log: bool,
    /// Any of them.
    pub any: bool,
}

const fn named(setting: &Setting) -> &'static str {
    match setting {
        Setting::Flag(_) => "true or false",
        Setting::Number(_) => "a number",
        Setting::Text(_) => "a text",
    }
}
