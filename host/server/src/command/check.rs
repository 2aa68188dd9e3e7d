//! `tidegate check`: checks the configuration and all policies.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::json;
use tidegate::channel::ChannelContext;
use tidegate::{Config, ConfigFile, SystemClock};
use tidegate_core::config::PoliciesConfig;
use tidegate_lint::review;
use tidegate_policy::scripts::{ParsedScript, new_engine};
use tidegate_policy::{Policies, PolicyKind, PolicyStatus};

use super::output::count;
use super::{UsageError, config_file_with_channels, configuration, print_result};

const EXAMPLES: &str = "\
Examples:
  tidegate check                                 check ./tidegate.toml and its policies
  tidegate check --strict                        fail if there are notes, for use in CI
  tidegate check staging/policies --config staging.toml

Example output:
  tidegate.toml: 18 limits, 1 channel
  retry/taobao.rhai: ok
  note: policies/alerts.toml:5:14: `p95` is in milliseconds: write 2000 for 2 seconds";

/// The options of `tidegate check`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Check {
    /// Read the configuration from this file [default: ./tidegate.toml if it exists, else the preset `platforms`
    /// and a channel `log`].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The policy directory [default: `[policies] dir` in the configuration].
    #[arg(value_name = "DIR")]
    policies: Option<PathBuf>,
    /// Exit with 1 if there are notes.
    #[arg(long)]
    strict: bool,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

impl Check {
    /// Checks everything without activating anything. Returns exit status 1 if a policy is rejected.
    ///
    /// # Errors
    /// Returns an error if the configuration is invalid or the policy directory does not exist.
    pub fn run(self) -> Result<ExitCode, UsageError> {
        let file = config_file_with_channels(self.config.clone());
        let config = configuration(file.as_ref())?;
        check_channels(&config, file.as_ref())?;
        let dir = self.policies.clone().unwrap_or_else(|| config.policies.dir.clone());
        if !dir.is_dir() {
            return Err(UsageError(format!("{}: policy directory not found", dir.display())));
        }
        let policies = config.policies.clone().with_dir(dir);
        let config = config.with_policies(policies);
        let policies = Policies::open(&config.policies);
        let rejected = policies.reload().rejected;
        let errors: Vec<_> = rejected.values().flat_map(|file| file.lines()).map(str::to_owned).collect();
        let status = policies.status();
        let notes = [configuration_notes(&policies, &config), policy_notes(&status, &config.policies)].concat();
        let ok = errors.is_empty() && (notes.is_empty() || !self.strict);
        let source = file.map_or_else(|| "no configuration file".to_owned(), |file| file.path().display().to_string());
        let (limits, channels) = (count(config.limits.len(), "limit"), count(config.channels.len(), "channel"));
        let mut text = vec![format!("{source}: {limits}, {channels}")];
        if config.channels.is_empty() {
            text.push(
                "there are no channels, so no notifications are sent; to write them to the log, add [channels.log] with \
                 kind = \"log\""
                    .to_owned(),
            );
        }
        text.extend(status.iter().filter(|policy| policy.stale.is_none()).map(|policy| format!("{}: ok", policy.path)));
        text.extend(notes.iter().map(|note| format!("note: {note}")));
        text.extend(errors.iter().map(|error| format!("error: {error}")));
        let paths: Vec<_> = status.iter().map(|policy| &policy.path).collect();
        let value = json!({ "ok": ok, "policies": paths, "errors": errors, "notes": notes });
        print_result(self.json, &value, &text.join("\n"));
        Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

/// Checks that the channels of the configuration can be opened.
fn check_channels(config: &Config, file: Option<&ConfigFile>) -> Result<(), UsageError> {
    let context = ChannelContext::new(Arc::new(SystemClock::new()));
    let file = file.map(|file| format!("{}: ", file.path().display())).unwrap_or_default();
    for (name, channel) in &config.channels {
        channel.open(&context).map_err(|error| UsageError(format!("{file}channels.{name}: {error}")))?;
    }
    Ok(())
}

/// Returns notes about a configuration without limits, and about parts that do not fit together: rules that name an
/// unknown channel or platform, settings for a policy that does not exist, policies of a platform that has no limit,
/// and policies that read error codes which the host does not find.
fn configuration_notes(policies: &Policies, config: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    if config.limits.is_empty() {
        notes.push(
            "there are no limits, so every platform is unknown; add [limits.NAME] or presets = [\"platforms\"]".into(),
        );
    }
    for rule in policies.rules().iter() {
        let name = &rule.name;
        for channel in rule.channels.iter().filter(|name| !config.channels.contains_key(*name)) {
            notes.push(format!("rule `{name}` uses channel `{channel}`, but there is no [channels.{channel}]"));
        }
        for platform in rule.platforms.iter().filter(|name| !config.limits.contains_key(*name)) {
            notes.push(format!("rule `{name}` uses platform `{platform}`, but there is no [limits.{platform}]"));
        }
    }
    let status = policies.status();
    for name in config.policies.overrides.keys() {
        let has_name = |policy: &PolicyStatus| policy.path.rsplit_once('.').is_some_and(|(stem, _)| stem == name);
        if !status.iter().any(has_name) {
            notes.push(format!("[policy.{name:?}] has no effect: there is no {name}.rhai or {name}.wasm"));
        }
    }
    for policy in &status {
        let path = &policy.path;
        let platform = path.strip_prefix("retry/").or_else(|| path.strip_prefix("admit/"));
        let platform = platform.and_then(|name| name.split('.').next()).filter(|name| *name != "default");
        if let Some(platform) = platform.filter(|name| !config.limits.contains_key(*name)) {
            notes.push(format!("{path} is never used: there is no [limits.{platform}]"));
        } else if let Some(platform) = platform.filter(|name| !config.platforms.contains_key(*name))
            && let Some(variable) = error_variable(&config.policies, path)
        {
            notes.push(format!(
                "{path} reads `{variable}`, but [platforms.{platform}] has no `error`, which describes where responses \
                 contain it; if only callers report it, add error = []"
            ));
        }
    }
    notes
}

/// Returns the first of `code`, `sub_code` and `message` that a retry policy in Rhai reads.
fn error_variable(config: &PoliciesConfig, path: &str) -> Option<&'static str> {
    let is_script = path.starts_with("retry/") && path.ends_with(".rhai");
    let text = is_script.then(|| std::fs::read_to_string(config.dir.join(path)).ok())??;
    let script = ParsedScript::parse(&new_engine(&config.limits), &text, PolicyKind::Retry).ok()?;
    ["code", "sub_code", "message"].into_iter().find(|name| script.tokens.contains(name))
}

/// Returns notes about likely mistakes in policies. Skips rejected files: their errors are reported instead.
fn policy_notes(status: &[PolicyStatus], config: &PoliciesConfig) -> Vec<String> {
    let rejected = status.iter().filter(|policy| policy.stale.is_some());
    let rejected: Vec<_> = rejected.map(|policy| format!("{}:", config.dir.join(&policy.path).display())).collect();
    let mut notes = review(config);
    notes.retain(|note| !rejected.iter().any(|file| note.starts_with(file)));
    notes
}
