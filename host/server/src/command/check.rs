//! `tidegate check`: would configuration and policies be accepted?

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use tidegate::Config;
use tidegate::core::config::PoliciesConfig;
use tidegate::policy::Policies;

use super::{Usage, answer, config_file, configuration};

/// Say whether configuration and policies would be accepted.
#[derive(Args)]
pub struct Check {
    /// The configuration; ./tidegate.toml where there is one, else the shipped defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The directory of policies instead of the configured one.
    #[arg(value_name = "DIR")]
    policies: Option<PathBuf>,
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
        let policies = Policies::open(&PoliciesConfig { dir, ..config.policies.clone() });
        let problems: Vec<_> =
            policies.reload().refused.iter().flat_map(|one| one.lines()).map(str::to_owned).collect();
        let notes = notes(&policies, &config);
        let good = problems.is_empty();
        let shown = file.map_or_else(|| "the shipped defaults".to_owned(), |file| file.display().to_string());
        let mut text = vec![format!("{shown}: {} limits, {} channels", config.limits.len(), config.channels.len())];
        let status = policies.status();
        text.extend(status.iter().filter(|one| one.stale.is_none()).map(|one| format!("{}: good", one.path)));
        text.extend(notes.iter().map(|note| format!("note: {note}")));
        text.extend(problems.iter().cloned());
        let paths: Vec<_> = status.iter().map(|one| &one.path).collect();
        let value = json!({ "good": good, "policies": paths, "problems": problems, "notes": notes });
        answer(self.json, &value, &text.join("\n"));
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

/// What is accepted and still worth a look: rules that look at nothing, or whose messages would reach nobody.
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
    notes
}
