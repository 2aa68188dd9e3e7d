//! `[decisions]`: whether and where the verdicts of policies are logged.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::policies::parse_size;
use super::reader::{Section, number, parsed};
use super::validate::{Check, require};

/// The section `[decisions]`: whether and where the verdicts of policies are logged.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DecisionsConfig {
    /// The log file, relative to the configuration file. Without it, nothing is logged.
    pub file: Option<PathBuf>,
    /// The fraction of verdicts that is logged, 0 to 1. Faults are always logged.
    pub sample_rate: f64,
    /// The maximum size of the file, in bytes. The previous file, `FILE.1`, may have the same size.
    pub max_size: u64,
}

impl DecisionsConfig {
    /// Returns a configuration that logs every verdict to a file of at most 64 MiB.
    #[must_use]
    pub fn to_file(path: impl Into<PathBuf>) -> Self {
        Self { file: Some(path.into()), ..Self::default() }
    }

    /// Sets the fraction of verdicts that is logged, 0 to 1.
    #[must_use]
    pub fn with_sample_rate(mut self, sample_rate: f64) -> Self {
        self.sample_rate = sample_rate;
        self
    }

    /// Sets the maximum size of the file, in bytes.
    #[must_use]
    pub fn with_max_size(mut self, bytes: u64) -> Self {
        self.max_size = bytes;
        self
    }

    /// Returns a configuration that logs nothing.
    #[must_use]
    pub const fn off() -> Self {
        Self { file: None, sample_rate: 0.0, max_size: 0 }
    }

    pub(super) fn check(&self) -> Check {
        let rate = self.sample_rate;
        require(
            SAMPLE_RATES.contains(&rate),
            "decisions.sample_rate",
            format!("expected a number from 0 to 1, found {rate}"),
        )?;
        let Some(file) = &self.file else { return Ok(()) };
        require(is_file_path(file), "decisions.file", FILE_RULE)?;
        require(self.max_size > 0, "decisions.max_size", "expected a size above zero")
    }
}

/// The valid values of `sample_rate`.
const SAMPLE_RATES: RangeInclusive<f64> = 0.0..=1.0;
/// What is expected of `file`.
const FILE_RULE: &str = "expected a file path";

pub(super) fn read_decisions(section: &mut Section<'_>) -> Option<DecisionsConfig> {
    let file = section.optional("file", parsed(parse_file));
    let sample_rate = section.required("sample_rate", number(SAMPLE_RATES));
    let max_size = section.required("max_size", parsed(parse_size));
    Some(DecisionsConfig { file, sample_rate: sample_rate?, max_size: max_size? })
}

fn parse_file(text: &str) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(text);
    if is_file_path(&path) { Ok(path) } else { Err(FILE_RULE) }
}

/// Returns whether a path can be the path of a file. A path that ends in a slash is the path of a directory.
fn is_file_path(path: &Path) -> bool {
    path.file_name().is_some() && !path.to_string_lossy().ends_with(std::path::is_separator)
}
