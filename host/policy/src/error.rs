//! The error of this crate.

use std::fmt;
use std::io;
use std::sync::Arc;

use tidegate_core::config::reader::Diagnostic;

/// The error of loading a policy, or of creating an engine.
///
/// Its text is for people. It may have several lines, one for each mistake: `file:line:column: message`.
///
/// ```
/// use std::path::Path;
/// use tidegate_core::config::Config;
/// use tidegate_policy::load_policy;
///
/// let config = Config::default().policies;
/// let error = load_policy(Path::new("retry/missing.rhai"), None, &config).unwrap_err();
/// assert!(error.is_unreadable());
/// assert!(error.to_string().starts_with("retry/missing.rhai: "));
/// ```
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    /// The file that the message starts with.
    file: Option<String>,
}

#[derive(Clone, Debug)]
enum ErrorKind {
    /// The file cannot be read.
    Unreadable(Arc<io::Error>),
    /// The policy is not valid. The mistakes are part of the message.
    Rejected { message: String, diagnostics: Vec<Diagnostic> },
    /// The engine cannot be created in this process.
    #[cfg_attr(not(feature = "wasm"), allow(dead_code, reason = "only the engine of components can fail"))]
    Engine(String),
}

impl Error {
    pub(crate) fn unreadable(file: impl Into<String>, error: io::Error) -> Self {
        Self { kind: ErrorKind::Unreadable(Arc::new(error)), file: Some(file.into()) }
    }

    pub(crate) fn rejected(message: impl Into<String>) -> Self {
        Self::rejected_at(message, Vec::new())
    }

    /// Creates the error of mistakes at known positions. The message contains them.
    pub(crate) fn rejected_at(message: impl Into<String>, diagnostics: Vec<Diagnostic>) -> Self {
        Self { kind: ErrorKind::Rejected { message: message.into(), diagnostics }, file: None }
    }

    #[cfg(feature = "wasm")]
    pub(crate) fn engine(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Engine(message.into()), file: None }
    }

    /// Sets the file that the message starts with.
    pub(crate) fn in_file(self, file: &str) -> Self {
        Self { file: Some(file.to_owned()), ..self }
    }

    /// Returns whether the file of the policy cannot be read; [`source`](std::error::Error::source) says why.
    #[must_use]
    pub const fn is_unreadable(&self) -> bool {
        matches!(self.kind, ErrorKind::Unreadable(_))
    }

    /// Returns whether the policy itself, its settings or its limits are not valid. The same file is rejected again.
    #[must_use]
    pub const fn is_rejected(&self) -> bool {
        matches!(self.kind, ErrorKind::Rejected { .. })
    }

    /// Returns whether the engine of the language cannot be created in this process.
    #[must_use]
    pub const fn is_engine(&self) -> bool {
        matches!(self.kind, ErrorKind::Engine(_))
    }

    /// Returns the mistakes of a rejected script with their positions. It is empty for a component, whose mistakes have
    /// no positions.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match &self.kind {
            ErrorKind::Rejected { diagnostics, .. } => diagnostics,
            ErrorKind::Unreadable(_) | ErrorKind::Engine(_) => &[],
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}: ")?;
        }
        match &self.kind {
            ErrorKind::Unreadable(error) => error.fmt(f),
            ErrorKind::Rejected { message, .. } | ErrorKind::Engine(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            ErrorKind::Unreadable(error) => Some(&**error),
            ErrorKind::Rejected { .. } | ErrorKind::Engine(_) => None,
        }
    }
}
