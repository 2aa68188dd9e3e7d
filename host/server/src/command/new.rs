//! `tidegate new`: creates a policy and its test cases.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::kind_option::KindOption;
use super::{UsageError, config_file, configuration, print_result};
use crate::templates::{ADMIT, ALERT, PolicyTemplates, RETRY};

/// The maximum length of a policy's name, in characters.
const MAX_NAME_LENGTH: usize = 64;

const EXAMPLES: &str = "\
Examples:
  tidegate new retry shop --lang rhai          write policies/retry/shop.rhai and its test cases
  tidegate new alert slow_calls --lang rhai    write policies/alerts/slow_calls.rhai
  tidegate new admit shop --lang rust          write a project in policies/guests/shop_admit";

/// The options of `tidegate new`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct New {
    /// The kind of the policy.
    #[arg(value_name = "KIND")]
    kind: KindOption,
    /// The name of the platform, or of the alert condition: up to 64 lower-case letters, digits and `_`.
    #[arg(value_name = "NAME", value_parser = policy_name)]
    name: String,
    /// The language of the policy.
    #[arg(long, value_name = "LANGUAGE")]
    lang: Language,
    /// Write to this policy directory [default: `[policies] dir` in the configuration].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Read the policy directory from this configuration file [default: ./tidegate.toml if it exists].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Language {
    /// A script that becomes active as soon as it is saved.
    Rhai,
    /// A Wasm component; the fastest to evaluate.
    Rust,
    /// A Wasm component that contains a JavaScript engine.
    Js,
}

fn templates(kind: KindOption) -> &'static PolicyTemplates {
    match kind {
        KindOption::Retry => &RETRY,
        KindOption::Alert => &ALERT,
        KindOption::Admit => &ADMIT,
    }
}

impl New {
    /// Writes the files and prints the next steps.
    ///
    /// # Errors
    /// Returns an error if a policy or project of that name already exists, or if a file cannot be written.
    pub fn run(self) -> Result<ExitCode, UsageError> {
        let uses_configured_dir = self.dir.is_none();
        let file = config_file(self.config.clone());
        let config = configuration(file.as_ref())?;
        let policies = self.dir.clone().unwrap_or_else(|| config.policies.dir.clone());
        let has_limit = self.name == "default" || config.limits.contains_key(&self.name);
        let plan = NewPolicyPlan {
            kind: self.kind,
            language: self.lang,
            name: &self.name,
            policies: &policies,
            uses_configured_dir,
            has_limit,
            has_error_shape: config.platforms.contains_key(&self.name),
            has_config: file.is_some(),
        };
        let files = plan.files();
        plan.check_nothing_exists(&files)?;
        // Create all folders before any file, so that a missing permission leaves no partial policy.
        for folder in files.iter().filter_map(|(path, _)| path.parent()) {
            fs::create_dir_all(folder).map_err(|error| UsageError(format!("{}: {error}", folder.display())))?;
        }
        for (path, text) in &files {
            write_new_file(path, text).map_err(|error| UsageError(format!("{}: {error}", path.display())))?;
        }
        let created: Vec<_> = files.iter().map(|(path, _)| path.display().to_string()).collect();
        let next_steps = plan.next_steps();
        let (paths, steps) = (plan.created_paths().join("\n  "), next_steps.join("\n  "));
        let text = format!("created:\n  {paths}\nnext steps:\n  {steps}");
        print_result(self.json, &json!({ "created": created, "next_steps": next_steps }), &text);
        Ok(ExitCode::SUCCESS)
    }
}

/// Which files to write, and where.
struct NewPolicyPlan<'a> {
    kind: KindOption,
    language: Language,
    name: &'a str,
    policies: &'a Path,
    /// Whether `policies` is the configured directory, so that the suggested commands need no option for it.
    uses_configured_dir: bool,
    /// Whether the configuration has a limit of that name. Without one, the policy is never used.
    has_limit: bool,
    /// Whether the configuration says where the platform puts errors in its responses.
    has_error_shape: bool,
    /// Whether there is a configuration file.
    has_config: bool,
}

impl NewPolicyPlan<'_> {
    /// The path of the script, or of the component once it is built.
    fn policy_path(&self, extension: &str) -> PathBuf {
        self.policies.join(self.kind.folder()).join(format!("{}.{extension}", self.name))
    }

    /// The project directory. Its name contains the kind, because a platform may have policies of several kinds.
    fn project_dir(&self) -> PathBuf {
        let name = match self.kind {
            KindOption::Retry => self.name.to_owned(),
            KindOption::Alert | KindOption::Admit => format!("{}_{}", self.name, self.kind.folder()),
        };
        self.policies.join("guests").join(name)
    }

    fn extension(&self) -> &'static str {
        match self.language {
            Language::Rhai => "rhai",
            Language::Rust | Language::Js => "wasm",
        }
    }

    /// The path and text of every file.
    fn files(&self) -> Vec<(PathBuf, String)> {
        let templates = templates(self.kind);
        let project = match self.language {
            Language::Rhai => vec![],
            Language::Rust => templates.rust(),
            Language::Js => templates.javascript(),
        };
        let mut files: Vec<_> =
            project.into_iter().map(|(path, text)| (self.project_dir().join(path), self.fill_in(text))).collect();
        if matches!(self.language, Language::Rhai) {
            files.push((self.policy_path("rhai"), self.fill_in(templates.rhai)));
        }
        files.push((self.policy_path("test.toml"), self.fill_in(templates.cases)));
        files
    }

    /// Replaces the placeholders of a template.
    fn fill_in(&self, text: &str) -> String {
        let project = self.project_dir();
        let project = project.file_name().unwrap_or_default().to_string_lossy();
        text.replace("{{name}}", self.name)
            .replace("{{project}}", &project)
            .replace("{{component}}", &self.policy_path("wasm").display().to_string())
            .replace("{{build}}", &self.build_command())
            .replace("{{test}}", &self.test_command())
    }

    /// Returns an error if a file of the policy exists, also in another language: both would apply to one platform.
    fn check_nothing_exists(&self, files: &[(PathBuf, String)]) -> Result<(), UsageError> {
        let mut paths = vec![self.policy_path("rhai"), self.policy_path("wasm")];
        paths.extend((!matches!(self.language, Language::Rhai)).then(|| self.project_dir()));
        paths.extend(files.iter().map(|(path, _)| path.clone()));
        match paths.iter().find(|path| path.symlink_metadata().is_ok()) {
            Some(existing) => Err(UsageError(format!(
                "{} already exists; nothing was written; remove it or choose another name",
                existing.display()
            ))),
            None => Ok(()),
        }
    }

    /// The created paths as they are printed; a project is one path.
    fn created_paths(&self) -> Vec<String> {
        let first = match self.language {
            Language::Rhai => self.policy_path("rhai").display().to_string(),
            Language::Rust | Language::Js => format!("{}/", self.project_dir().display()),
        };
        vec![first, self.policy_path("test.toml").display().to_string()]
    }

    fn next_steps(&self) -> Vec<String> {
        let project = self.project_dir();
        let mut steps = match self.language {
            Language::Rhai => vec![],
            Language::Rust => {
                vec![format!("cargo test --manifest-path {}/Cargo.toml", project.display()), self.build_command()]
            }
            Language::Js => vec![format!("npm test --prefix {}", project.display()), self.build_command()],
        };
        steps.push(self.test_command());
        if !matches!(self.kind, KindOption::Alert) && !self.has_limit {
            // A new file removes the platforms and the channel that exist without a file.
            let instruction = if self.has_config {
                "add to tidegate.toml:"
            } else {
                "create tidegate.toml with presets = [\"platforms\"], [channels.log] kind = \"log\", and"
            };
            steps.push(format!("{instruction} [limits.{}] rate = \"10/s\" and burst = 10", self.name));
        }
        if matches!(self.kind, KindOption::Retry) && !self.has_error_shape && self.name != "default" {
            steps.push(format!(
                "add [platforms.{}] error to tidegate.toml; it describes where responses contain the error code, for example \
                 error = {{ at = \"/err\", code = \"no\", message = \"text\" }}",
                self.name
            ));
        }
        if matches!(self.kind, KindOption::Alert) {
            let (name, extension) = (self.name, self.extension());
            let rules = self.policies.join("alerts.toml");
            steps.push(format!(
                "add to {}: [rules.{name}] with policy = \"alerts/{name}.{extension}\"",
                rules.display()
            ));
        }
        steps
    }

    fn build_command(&self) -> String {
        let policies =
            if self.uses_configured_dir { String::new() } else { format!(" --policies {}", self.policies.display()) };
        let name =
            if matches!(self.kind, KindOption::Retry) { String::new() } else { format!(" --name {}", self.name) };
        format!("tidegate build {}{name}{policies}", self.project_dir().display())
    }

    fn test_command(&self) -> String {
        format!("tidegate test {}", self.policy_path(self.extension()).display())
    }
}

/// Writes a new file; fails if it exists.
fn write_new_file(path: &Path, text: &str) -> io::Result<()> {
    fs::File::create_new(path)?.write_all(text.as_bytes())
}

/// Accepts names that are valid on every file system, for Cargo and for alert rules.
fn policy_name(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if text.is_empty() || text.len() > MAX_NAME_LENGTH || !text.chars().all(allowed) {
        return Err(format!("expected 1 to {MAX_NAME_LENGTH} lower-case letters, digits and `_`, such as new_shop"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_contain_only_lower_case_letters_digits_and_underscores() {
        let longest = "a".repeat(MAX_NAME_LENGTH);
        for good in ["taobao", "1688", "new_shop", "_", &longest] {
            assert_eq!(policy_name(good).as_deref(), Ok(good));
        }
        let longer = "a".repeat(MAX_NAME_LENGTH + 1);
        for bad in ["", "Taobao", "new-shop", "a b", "../a", "a.b", "店", &longer] {
            assert!(policy_name(bad).is_err(), "{bad}");
        }
    }
}
