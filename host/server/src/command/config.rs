//! `tidegate config show`: prints the effective configuration.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tidegate::ConfigFile;
use tidegate_core::config::Parser;
use tidegate_core::config::reader::{EffectiveValue, Origin};

use super::{UsageError, config_file, output, print_result};

const EXAMPLES: &str = "\
Examples:
  tidegate config show                             show the configuration that ./tidegate.toml results in
  tidegate config show --config staging.toml --json
  tidegate config show | grep -v default           show what differs from the defaults

Example output:
  key                 origin                value
  presets             tidegate.toml:1       [\"platforms\"]
  limits.jd.rate      preset platforms      \"5/s\"
  retry.max_attempts  default               5
  server.token        environment TG_TOKEN  \"***\"";

/// The options of `tidegate config`.
#[derive(Args)]
pub struct ConfigCommand {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Print every value of the effective configuration with its origin.
    ///
    /// The origin is the line of the configuration file, a preset, the built-in defaults, or for a secret the
    /// environment variable or file that contains it. Secrets are printed as `***`.
    ///
    /// Not printed: optional keys that have no value, such as `[decisions] file`; a section `[redis]` that is absent;
    /// keys that a section takes from another one, such as `[platforms.NAME.retry]` from `[retry]`; and the keys of
    /// channels whose kind belongs to another program.
    Show(Show),
}

#[derive(Args)]
#[command(after_help = EXAMPLES)]
struct Show {
    /// Read the configuration from this file [default: ./tidegate.toml if it exists, else the preset `platforms` and a
    /// channel `log`].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

impl ConfigCommand {
    /// Prints the effective configuration.
    ///
    /// # Errors
    /// Returns an error if the configuration is invalid.
    pub fn run(self) -> Result<ExitCode, UsageError> {
        let Action::Show(Show { config, json }) = self.command;
        let file = config_file(config);
        let values = effective_values(file.as_ref())?;
        let file = file.map(|file| file.path().to_owned()).unwrap_or_default();
        let rows = values.iter().map(|value| vec![value.key.clone(), origin_text(value, &file), value.value.clone()]);
        let text = output::table(&["key", "origin", "value"], rows);
        let value = values.iter().map(|value| value_json(value, &file)).collect();
        print_result(json, &value, &text);
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns the values of a configuration file, or of the shipped configuration.
fn effective_values(file: Option<&ConfigFile>) -> Result<Vec<EffectiveValue>, UsageError> {
    match file {
        Some(file) => file.effective_values().map_err(|error| UsageError(error.to_string())),
        None => {
            let kinds = tidegate_notify::channel_kinds();
            let values = Parser::new().channel_kinds(&kinds).effective_values(None);
            values.map_err(|error| UsageError(error.to_string()))
        }
    }
}

fn origin_text(value: &EffectiveValue, file: &Path) -> String {
    match &value.origin {
        Origin::Line(line) => format!("{}:{line}", file.display()),
        Origin::Preset(name) => format!("preset {name}"),
        Origin::Default => "default".to_owned(),
        Origin::Environment(name) => format!("environment {name}"),
        Origin::SecretFile(path) => format!("file {path}"),
        _ => "another source".to_owned(),
    }
}

fn value_json(EffectiveValue { key, value, origin, .. }: &EffectiveValue, file: &Path) -> Value {
    let origin = match origin {
        Origin::Line(line) => json!({ "kind": "file", "file": file, "line": line }),
        Origin::Preset(name) => json!({ "kind": "preset", "name": name }),
        Origin::Default => json!({ "kind": "default" }),
        Origin::Environment(name) => json!({ "kind": "environment", "name": name }),
        Origin::SecretFile(path) => json!({ "kind": "file", "file": path }),
        _ => json!({ "kind": "other" }),
    };
    let parsed = toml::from_str::<Value>(&format!("value = {value}")).map(|mut table| table["value"].take());
    json!({ "key": key, "value": parsed.unwrap_or_else(|_| json!(value)), "origin": origin })
}
