//! What is taken and still is likely a mistake: notes on the scripts and rules of a directory.

use std::cell::RefCell;
use std::path::Path;

use tidegate_core::config::PoliciesConfig;
use tidegate_core::config::reader::{self, Text};

use crate::engines::Language;
use crate::files::{self, RULES};
use crate::load::PolicyKind;
use crate::origin::Origin;
use crate::rhai;

/// Looks for what is likely a mistake in the scripts and conditions of a directory of policies that was accepted, such
/// as a condition that no sample fulfils; each note is `file:line:column: message`.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let mut config = tidegate_core::config::Config::default().policies;
/// # config.dir = dir.path().to_owned();
/// std::fs::write(dir.path().join("alerts.toml"), "[rules.errors]\ncondition = \"error_rate > 10\"\n");
/// let notes = tidegate_policy::review(&config);
/// assert!(notes[0].ends_with("alerts.toml:2:14: `error_rate` is a fraction of 1: write 0.1 for 10 %"));
/// ```
#[must_use]
pub fn review(config: &PoliciesConfig) -> Vec<String> {
    let Ok(scan) = files::scan(&config.dir, |_, _| false) else { return vec![] };
    let mut notes = Vec::new();
    for found in scan.into_values().flatten() {
        let Some(text) = found.content.ok().and_then(|content| String::from_utf8(content.bytes).ok()) else { continue };
        let file = config.dir.join(&found.path).display().to_string();
        let terms = config.terms(&found.path);
        if found.path == RULES {
            for condition in conditions(&text) {
                let said = rhai::review(&condition.value, PolicyKind::Alert, &terms);
                let origin = Origin::inside(&file, condition);
                notes.extend(said.into_iter().map(|note| origin.show(note)));
            }
        } else if let (Some(Language::Rhai), Some(kind)) =
            (Language::of(&found.path), PolicyKind::of(Path::new(&found.path)))
        {
            let origin = Origin::file(&file);
            notes.extend(rhai::review(&text, kind, &terms).into_iter().map(|note| origin.show(note)));
        }
    }
    notes
}

/// The conditions that stand in line, in the order of their places; what else is in the file is read elsewhere.
fn conditions(text: &str) -> Vec<Text> {
    let found = RefCell::new(Vec::new());
    let read = reader::read(text, |file| {
        for (_, mut section) in file.tables("rules") {
            found.borrow_mut().extend(section.optional("condition", reader::text));
        }
        Some(())
    });
    // Every other key is one that nobody asked for here.
    drop(read);
    let mut found = found.into_inner();
    found.sort_by_key(|condition| condition.at);
    found
}
