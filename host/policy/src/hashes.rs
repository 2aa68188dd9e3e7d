//! The hashes of active policies, by which processes find out whether they decide alike.

use serde::Serialize;

use crate::files;
use crate::slot::{GoodVersion, SlotContent};

/// The number of hexadecimal digits of a hash.
const DIGITS: usize = 12;

/// The hashes of the active versions and their settings. Processes with equal hashes have the same policies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PolicyHashes {
    /// The hash of the retry and admission policies. Candidates do not decide, so they are not part of it.
    pub policies: String,
    /// The hash of the alert rules and the conditions in files.
    pub rules: String,
}

impl PolicyHashes {
    /// Hashes active versions, which are in the order of their paths.
    pub(crate) fn of<'a>(versions: impl Iterator<Item = &'a GoodVersion>) -> Self {
        let (mut policies, mut rules) = (String::new(), String::new());
        for GoodVersion { attempt, content, .. } in versions {
            let text = match content {
                SlotContent::Retry(_) | SlotContent::Admit(_) => &mut policies,
                SlotContent::Alert(_) | SlotContent::Rules(..) => &mut rules,
                SlotContent::Candidate(_) => continue,
            };
            text.push_str(&format!("{} {} {:?}\n", attempt.path, attempt.hash, attempt.config.settings));
        }
        let hash = |text: String| files::hash(text.as_bytes()).chars().take(DIGITS).collect();
        Self { policies: hash(policies), rules: hash(rules) }
    }
}
