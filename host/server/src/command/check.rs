//! `tidegate check`: would configuration and policies be accepted, and is there a trap in what is?

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use tidegate::Config;
use tidegate::core::config::PoliciesConfig;
use tidegate::policy::{Policies, PolicyStatus, review};

use super::{Usage, answer, config_file, configuration};

/// Says whether configuration and policies would be accepted.
#[derive(Args)]
pub struct Check {
    /// The configuration; ./tidegate.toml where there is one, else the shipped defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The directory of policies instead of the configured one.
    #[arg(value_name = "DIR")]
    policies: Option<PathBuf>,
    /// Answer no where there is a note.
    #[arg(long)]
    strict: bool,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Check {
    /// Looks at everything and puts nothing in force; 1 where a policy would be refused.
    ///
    /// # Errors
    /// A configuration that is wrong.
    pub fn run(self) -> Result<ExitCode, Usage> {
        let file = config_file(self.config.clone());
        let config = configuration(file.as_deref())?;
        let dir = self.policies.clone().unwrap_or_else(|| config.policies.dir.clone());
        if !dir.is_dir() {
            return Err(Usage(format!("{}: no such directory of policies", dir.display())));
        }
        let config = Config { policies: PoliciesConfig { dir, ..config.policies.clone() }, ..config };
        let policies = Policies::open(&config.policies);
        let problems: Vec<_> =
            policies.reload().refused.iter().flat_map(|one| one.lines()).map(str::to_owned).collect();
        let status = policies.status();
        let notes = [notes(&policies, &config), in_policies(&status, &config.policies)].concat();
        let good = problems.is_empty() && (notes.is_empty() || !self.strict);
        let shown = file.map_or_else(|| "the shipped defaults".to_owned(), |file| file.display().to_string());
        let mut text = vec![format!("{shown}: {} limits, {} channels", config.limits.len(), config.channels.len())];
        text.extend(status.iter().filter(|one| one.stale.is_none()).map(|one| format!("{}: good", one.path)));
        text.extend(notes.iter().map(|note| format!("note: {note}")));
        text.extend(problems.iter().cloned());
        let paths: Vec<_> = status.iter().map(|one| &one.path).collect();
        let value = json!({ "good": good, "policies": paths, "problems": problems, "notes": notes });
        answer(self.json, &value, &text.join("\n"));
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

/// What is accepted and still worth a look: rules that look at nothing, or whose messages would reach nobody; settings
/// of nobody; policies that nobody asks.
fn notes(policies: &Policies, config: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    for rule in policies.rules().iter() {
        for channel in rule.channels.iter().filter(|name| !config.channels.contains_key(*name)) {
            notes.push(format!("rule {} speaks to channel {channel}, and there is no [channels.{channel}]", rule.name));
        }
        for platform in rule.platforms.iter().filter(|name| !config.limits.contains_key(*name)) {
            notes.push(format!("rule {} looks at platform {platform}, and limits has no {platform}", rule.name));
        }
    }
    let status = policies.status();
    for name in config.policies.each.keys() {
        let is_there = |one: &PolicyStatus| one.path.rsplit_once('.').is_some_and(|(stem, _)| stem == name);
        if !status.iter().any(is_there) {
            notes.push(format!("[policy.{name:?}] is of no policy: there is no {name}.rhai or {name}.wasm"));
        }
    }
    for one in &status {
        let platform = one.path.strip_prefix("retry/").or_else(|| one.path.strip_prefix("admit/"));
        let platform = platform.and_then(|name| name.split('.').next()).filter(|name| *name != "default");
        if let Some(platform) = platform.filter(|name| !config.limits.contains_key(*name)) {
            notes.push(format!("{} is never asked: there is no [limits.{platform}]", one.path));
        }
    }
    notes
}

/// What is likely a mistake inside policies; of a file that is refused, only that is told.
fn in_policies(status: &[PolicyStatus], config: &PoliciesConfig) -> Vec<String> {
    let refused = status.iter().filter(|one| one.stale.is_some());
    let refused: Vec<_> = refused.map(|one| format!("{}:", config.dir.join(&one.path).display())).collect();
    let mut notes = review(config);
    notes.retain(|note| !refused.iter().any(|file| note.starts_with(file)));
    notes
}
