//! The error of this crate.

use std::fmt;
use std::io;

/// The error of loading a policy, or of creating an engine.
///
/// Its text is for people. It may have several lines, one for each mistake: `file:line:column: message`.
///
/// ```
/// use std::path::Path;
/// use tidegate_core::config::Config;
/// use tidegate_policy::load_one;
///
/// let config = Config::default().policies;
/// let error = load_one(Path::new("retry/missing.rhai"), None, &config).unwrap_err();
/// assert!(error.is_unreadable());
/// assert!(error.to_string().starts_with("retry/missing.rhai: "));
/// ```
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    /// The file that the message starts with.
    file: Option<String>,
}

#[derive(Debug)]
enum ErrorKind {
    /// The file cannot be read.
    Unreadable(io::Error),
    /// The policy is not valid.
    Rejected(String),
    /// The engine cannot be created in this process.
    Engine(String),
}

impl Error {
    pub(crate) fn unreadable(file: impl Into<String>, error: io::Error) -> Self {
        Self { kind: ErrorKind::Unreadable(error), file: Some(file.into()) }
    }

    pub(crate) fn rejected(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Rejected(message.into()), file: None }
    }

    #[cfg(feature = "wasm")]
    pub(crate) fn engine(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Engine(message.into()), file: None }
    }

    /// Returns whether the file of the policy cannot be read; [`source`](std::error::Error::source) says why.
    #[must_use]
    pub const fn is_unreadable(&self) -> bool {
        matches!(self.kind, ErrorKind::Unreadable(_))
    }

    /// Returns whether the policy itself, its settings or its limits are not valid. The same file is rejected again.
    #[must_use]
    pub const fn is_rejected(&self) -> bool {
        matches!(self.kind, ErrorKind::Rejected(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}: ")?;
        }
        match &self.kind {
            ErrorKind::Unreadable(error) => error.fmt(f),
            ErrorKind::Rejected(message) | ErrorKind::Engine(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            ErrorKind::Unreadable(error) => Some(error),
            ErrorKind::Rejected(_) | ErrorKind::Engine(_) => None,
        }
    }
}
