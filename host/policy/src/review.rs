//! Finds likely mistakes in policies that load without errors: notes on the scripts and rules of a directory.

use std::cell::RefCell;
use std::path::Path;

use tidegate_core::config::PoliciesConfig;
use tidegate_core::config::reader::{self, SpannedString};

use crate::engines::Language;
use crate::files::{self, RULES};
use crate::load::PolicyKind;
use crate::origin::Origin;
use crate::rhai;

/// Returns notes on likely mistakes in the scripts and conditions of a policy directory that loads without errors, for
/// example a condition that is false for every sample input. Each note has the form `file:line:column: message`.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let mut config = tidegate_core::config::Config::default().policies;
/// # config.dir = dir.path().to_owned();
/// std::fs::write(dir.path().join("alerts.toml"), "[rules.errors]\ncondition = \"error_rate > 10\"\n");
/// let notes = tidegate_policy::review(&config);
/// assert!(notes[0].ends_with("alerts.toml:2:14: `error_rate` is a fraction from 0 to 1: write 0.1 for 10 %"));
/// ```
#[must_use]
pub fn review(config: &PoliciesConfig) -> Vec<String> {
    let Ok(scan) = files::scan(&config.dir, |_, _| false) else { return vec![] };
    let mut notes = Vec::new();
    for file in scan.into_values().flatten() {
        let Some(text) = file.content.ok().and_then(|content| String::from_utf8(content.bytes).ok()) else { continue };
        let full_path = config.dir.join(&file.path).display().to_string();
        let policy_config = config.resolve(&file.path);
        if file.path == RULES {
            for condition in conditions(&text) {
                let condition_notes = rhai::review(&condition.value, PolicyKind::Alert, &policy_config);
                let origin = Origin::inside(&full_path, condition);
                notes.extend(condition_notes.into_iter().map(|note| origin.show(note)));
            }
        } else if let (Some(Language::Rhai), Some(kind)) =
            (Language::of(&file.path), PolicyKind::of(Path::new(&file.path)))
        {
            let origin = Origin::file(&full_path);
            notes.extend(rhai::review(&text, kind, &policy_config).into_iter().map(|note| origin.show(note)));
        }
    }
    notes
}

/// Returns the inline conditions of `alerts.toml`, in the order of their positions.
fn conditions(text: &str) -> Vec<SpannedString> {
    let conditions = RefCell::new(Vec::new());
    let result = reader::read(text, |file| {
        for (_, mut section) in file.tables("rules") {
            conditions.borrow_mut().extend(section.optional("condition", reader::spanned_string));
        }
        Some(())
    });
    // The other keys are reported as unknown, because only the conditions are read here.
    drop(result);
    let mut conditions = conditions.into_inner();
    conditions.sort_by_key(|condition| condition.at);
    conditions
}
