//! The notes of `tidegate check`: likely mistakes in Rhai policies that load without errors. It runs each script on
//! many samples, and examines its source.
//!
//! Hosts that embed [tidegate](https://docs.rs/tidegate) do not need this crate.

mod constants;
mod explore;
mod fields;
mod instrument;
mod instrumented;
mod lints;
mod notes;
mod probe;
mod samples;
mod value;

use tidegate_core::config::PoliciesConfig;
use tidegate_core::config::reader::Diagnostic;
use tidegate_policy::scripts::{self, ParsedScript, ScriptSource, diagnostic, new_engine};

/// Returns notes on likely mistakes in the scripts and conditions of a policy directory that loads without errors, for
/// example a condition that is false for every sample input. Each note has the form `file:line:column: message`.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let mut config = tidegate_core::config::PoliciesConfig::default();
/// # config.dir = dir.path().to_owned();
/// std::fs::write(dir.path().join("alerts.toml"), "[rules.errors]\ncondition = \"error_rate > 10\"\n").unwrap();
/// let notes = tidegate_lint::review(&config);
/// assert!(notes[0].ends_with("alerts.toml:2:14: `error_rate` is a fraction from 0 to 1: write 0.1 for 10 %"));
/// ```
#[must_use]
pub fn review(config: &PoliciesConfig) -> Vec<String> {
    // A directory that cannot be read is an error of the policies, which are loaded first.
    let sources = scripts::sources(config).unwrap_or_default();
    sources.iter().flat_map(|source| review_script(source).into_iter().map(|note| source.show(note))).collect()
}

/// Returns notes on one script, in the order of their positions.
fn review_script(source: &ScriptSource) -> Vec<Diagnostic> {
    let engine = new_engine(&source.config().limits);
    let Ok(script) = ParsedScript::parse(&engine, source.text(), source.kind()) else { return vec![] };
    let notes = notes::find(engine, script, source.kind(), source.config());
    notes.into_iter().map(|(at, message)| diagnostic(at, message)).collect()
}
