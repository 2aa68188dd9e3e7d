//! `[decisions]`: whether and where the verdicts of policies are written down.

use std::path::PathBuf;

use super::parse::or;
use super::policies::size;
use super::reader::{Section, number, parsed};

/// `[decisions]`
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionsConfig {
    /// The file, relative to the configuration file; without one nothing is written.
    pub file: Option<PathBuf>,
    /// The share of verdicts that is written, 0 to 1; faults are always written.
    pub sample: f64,
    /// The most that the file may hold, in bytes; as much again may lie beside it in `FILE.1`.
    pub max_size: u64,
}

impl DecisionsConfig {
    /// Nothing is written.
    #[must_use]
    pub const fn off() -> Self {
        Self { file: None, sample: 0.0, max_size: 0 }
    }
}

pub(super) fn decisions(section: &mut Section<'_>, base: Option<&DecisionsConfig>) -> Option<DecisionsConfig> {
    let file = section.optional("file", parsed(file)).or_else(|| base.and_then(|base| base.file.clone()));
    let sample = or(section, "sample", base.map(|base| base.sample), number(0.0..=1.0));
    let max_size = or(section, "max_size", base.map(|base| base.max_size), parsed(size));
    Some(DecisionsConfig { file, sample: sample?, max_size: max_size? })
}

fn file(text: &str) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(text);
    if text.ends_with('/') || path.file_name().is_none() { Err("expected the path of a file") } else { Ok(path) }
}
