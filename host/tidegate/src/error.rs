//! The error of a host for a platform without a limit.

/// The error for a platform without a limit in the configuration, or for the name of an additional limit that it does
/// not have.
///
/// There is no default limit for unknown platforms, because a misspelled name must not get a quota of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown platform {name:?}; add [limits.{name}] to the configuration, or {alternative}")]
pub struct UnknownPlatform {
    name: String,
    /// What to do instead of adding a limit.
    alternative: String,
}

impl UnknownPlatform {
    pub(crate) fn new<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Self {
        let known = known.map(String::as_str).collect::<Vec<_>>().join(", ");
        let alternative = if known.is_empty() {
            "include a preset: presets = [\"platforms\"]".to_owned()
        } else {
            format!("use one of: {known}")
        };
        Self { name: name.to_owned(), alternative }
    }

    /// Returns the name of the platform, or of the limit.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}
