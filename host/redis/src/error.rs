//! The error of the crate.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::sync::Arc;

use tidegate_core::config::ConfigProblem;

/// The error of opening a client. Neither the message nor a source contains a secret.
#[derive(Clone, Debug)]
pub struct Error(ErrorKind);

#[derive(Clone, Debug)]
enum ErrorKind {
    /// A key of `[redis]` has an invalid value.
    Setting { key: Cow<'static, str>, problem: String, source: Option<Arc<io::Error>> },
    /// The calling thread is not in a tokio runtime.
    NoRuntime,
}

impl Error {
    pub(crate) fn setting(key: &'static str, problem: impl Into<String>) -> Self {
        Self(ErrorKind::Setting { key: key.into(), problem: problem.into(), source: None })
    }

    pub(crate) fn unreadable_file(key: &'static str, problem: String, error: io::Error) -> Self {
        Self(ErrorKind::Setting { key: key.into(), problem, source: Some(Arc::new(error)) })
    }

    pub(crate) fn invalid(problem: &ConfigProblem) -> Self {
        let key = problem.key();
        let key = key.strip_prefix("redis.").unwrap_or(key).to_owned().into();
        Self(ErrorKind::Setting { key, problem: problem.message().to_owned(), source: None })
    }

    pub(crate) const fn no_runtime() -> Self {
        Self(ErrorKind::NoRuntime)
    }

    /// Returns the key of `[redis]` whose value is invalid, such as `url`; `None` if the configuration is not the
    /// cause.
    #[must_use]
    pub fn setting_key(&self) -> Option<&str> {
        match &self.0 {
            ErrorKind::Setting { key, .. } => Some(key),
            ErrorKind::NoRuntime => None,
        }
    }

    /// Returns whether the client was opened outside of a tokio runtime.
    #[must_use]
    pub const fn is_outside_runtime(&self) -> bool {
        matches!(self.0, ErrorKind::NoRuntime)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            ErrorKind::Setting { key, problem, .. } => write!(f, "{key}: {problem}"),
            ErrorKind::NoRuntime => f.write_str("must be opened within a tokio runtime"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            ErrorKind::Setting { source, .. } => source.as_deref().map(|error| error as _),
            ErrorKind::NoRuntime => None,
        }
    }
}
