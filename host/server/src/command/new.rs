//! `tidegate new`: the beginning of a policy, with its tests.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Usage, answer, config_file, configuration};
use crate::templates::{ADMIT, ALERT, RETRY, Texts};

/// The longest name of a policy.
const MAX_NAME: usize = 64;

/// Begin a policy, with tests that pass.
#[derive(Args)]
pub struct New {
    /// What the policy decides.
    #[arg(value_name = "KIND")]
    kind: Kind,
    /// The platform's name, or the condition's: lower-case letters, digits and _.
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// What it is written in.
    #[arg(long, value_name = "LANGUAGE")]
    lang: Language,
    /// The directory of policies instead of the configured one.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The configuration, for the directory of policies.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// What a policy decides.
#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// Whether a failed call is worth another attempt.
    Retry,
    /// Whether an alert condition holds.
    Alert,
    /// Whether a request goes, and what it costs.
    Admit,
}

/// What a policy is written in.
#[derive(Clone, Copy, ValueEnum)]
enum Language {
    /// A script, in force as soon as it is saved.
    Rhai,
    /// A Wasm component, the fastest.
    Rust,
    /// A Wasm component.
    Js,
}

impl Kind {
    fn texts(self) -> &'static Texts {
        match self {
            Self::Retry => &RETRY,
            Self::Alert => &ALERT,
            Self::Admit => &ADMIT,
        }
    }

    /// The folder that a host reads such policies from.
    fn folder(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Alert => "alerts",
            Self::Admit => "admit",
        }
    }
}

impl New {
    /// Writes the files and says what to do next.
    ///
    /// # Errors
    /// Something of that name that is there already, or a directory that cannot be written.
    pub fn run(self) -> Result<ExitCode, Usage> {
        let configured = self.dir.is_none();
        let config = configuration(config_file(self.config.clone()).as_deref())?;
        let policies = self.dir.clone().unwrap_or(config.policies.dir);
        let limited = self.name == "default" || config.limits.contains_key(&self.name);
        let plan =
            Plan { kind: self.kind, language: self.lang, name: &self.name, policies: &policies, configured, limited };
        let files = plan.files();
        plan.refuse_what_exists(&files)?;
        // All folders before any file: what cannot be written whole is not begun.
        for folder in files.iter().filter_map(|(path, _)| path.parent()) {
            fs::create_dir_all(folder).map_err(|error| Usage(format!("{}: {error}", folder.display())))?;
        }
        for (path, text) in &files {
            write(path, text).map_err(|error| Usage(format!("{}: {error}", path.display())))?;
        }
        let written: Vec<_> = files.iter().map(|(path, _)| path.display().to_string()).collect();
        let next = plan.next();
        let text = format!("written:\n  {}\nnext:\n  {}", plan.shown().join("\n  "), next.join("\n  "));
        answer(self.json, &json!({ "written": written, "next": next }), &text);
        Ok(ExitCode::SUCCESS)
    }
}

/// What is to be written where.
struct Plan<'a> {
    kind: Kind,
    language: Language,
    name: &'a str,
    policies: &'a Path,
    /// Whether the directory of policies is the configured one, which no command needs to be told.
    configured: bool,
    /// Whether the configuration has a limit of that name: without one, nobody asks.
    limited: bool,
}

impl Plan<'_> {
    /// The file that a host reads: the script, or the component once it is built.
    fn policy(&self, extension: &str) -> PathBuf {
        self.policies.join(self.kind.folder()).join(format!("{}.{extension}", self.name))
    }

    /// Where its source is; a platform may have policies of several kinds.
    fn project(&self) -> PathBuf {
        let name = match self.kind {
            Kind::Retry => self.name.to_owned(),
            Kind::Alert | Kind::Admit => format!("{}_{}", self.name, self.kind.folder()),
        };
        self.policies.join("guests").join(name)
    }

    fn extension(&self) -> &'static str {
        match self.language {
            Language::Rhai => "rhai",
            Language::Rust | Language::Js => "wasm",
        }
    }

    /// Every file with its text.
    fn files(&self) -> Vec<(PathBuf, String)> {
        let texts = self.kind.texts();
        let project = match self.language {
            Language::Rhai => vec![],
            Language::Rust => texts.rust(),
            Language::Js => texts.javascript(),
        };
        let mut files: Vec<_> =
            project.into_iter().map(|(path, text)| (self.project().join(path), self.filled(text))).collect();
        if matches!(self.language, Language::Rhai) {
            files.push((self.policy("rhai"), self.filled(texts.rhai)));
        }
        files.push((self.policy("test.toml"), self.filled(texts.cases)));
        files
    }

    fn filled(&self, text: &str) -> String {
        let project = self.project();
        let project = project.file_name().unwrap_or_default().to_string_lossy();
        text.replace("{{name}}", self.name)
            .replace("{{project}}", &project)
            .replace("{{component}}", &self.policy("wasm").display().to_string())
            .replace("{{build}}", &self.build())
            .replace("{{test}}", &self.test())
    }

    /// A policy of that name in any language would claim the same platform.
    fn refuse_what_exists(&self, files: &[(PathBuf, String)]) -> Result<(), Usage> {
        let mut places = vec![self.policy("rhai"), self.policy("wasm")];
        places.extend((!matches!(self.language, Language::Rhai)).then(|| self.project()));
        places.extend(files.iter().map(|(path, _)| path.clone()));
        match places.iter().find(|path| path.symlink_metadata().is_ok()) {
            Some(there) => Err(Usage(format!(
                "{} is there already, and nothing was written; remove it or choose another name",
                there.display()
            ))),
            None => Ok(()),
        }
    }

    /// What people are told was written: the project as one.
    fn shown(&self) -> Vec<String> {
        let first = match self.language {
            Language::Rhai => self.policy("rhai").display().to_string(),
            Language::Rust | Language::Js => format!("{}/", self.project().display()),
        };
        vec![first, self.policy("test.toml").display().to_string()]
    }

    fn next(&self) -> Vec<String> {
        let project = self.project();
        let mut next = match self.language {
            Language::Rhai => vec![],
            Language::Rust => {
                vec![format!("cargo test --manifest-path {}/Cargo.toml", project.display()), self.build()]
            }
            Language::Js => vec![format!("npm test --prefix {}", project.display()), self.build()],
        };
        next.push(self.test());
        if !matches!(self.kind, Kind::Alert) && !self.limited {
            next.push(format!("in tidegate.toml: [limits.{}] with rate = \"10/s\" and burst = 10", self.name));
        }
        if matches!(self.kind, Kind::Alert) {
            let (name, extension) = (self.name, self.extension());
            let rules = self.policies.join("alerts.toml");
            next.push(format!("in {}: [rules.{name}] with policy = \"alerts/{name}.{extension}\"", rules.display()));
        }
        next
    }

    fn build(&self) -> String {
        let policies = if self.configured { String::new() } else { format!(" --policies {}", self.policies.display()) };
        let name = if matches!(self.kind, Kind::Retry) { String::new() } else { format!(" --name {}", self.name) };
        format!("tidegate build {}{name}{policies}", self.project().display())
    }

    fn test(&self) -> String {
        format!("tidegate test {}", self.policy(self.extension()).display())
    }
}

/// Writes a file that was not there before.
fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::File::create_new(path)?.write_all(text.as_bytes())
}

/// A name that every file system, Cargo and a rule can have.
fn name(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if text.is_empty() || text.len() > MAX_NAME || !text.chars().all(allowed) {
        return Err(format!("expected 1 to {MAX_NAME} lower-case letters, digits and _, as in new_shop"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_plain() {
        let longest = "a".repeat(MAX_NAME);
        for good in ["taobao", "1688", "new_shop", "_", &longest] {
            assert_eq!(name(good).as_deref(), Ok(good));
        }
        let longer = "a".repeat(MAX_NAME + 1);
        for bad in ["", "Taobao", "new-shop", "a b", "../a", "a.b", "店", &longer] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
