//! Errors of a host: a platform without a limit, and a configuration from which no host can be built.

/// The error for a platform without a limit in the configuration.
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
}

/// The error of [`Builder::build`](crate::Builder::build): a mistake in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BuildError(pub(crate) String);
