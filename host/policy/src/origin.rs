//! Where the text of a script comes from.

use tidegate_core::config::reader::{Diagnostic, SpannedString};

/// The origin of a script: a file, or a string inside a file. It converts positions in the script to positions in the
/// file.
#[derive(Clone, Debug)]
pub struct Origin {
    file: String,
    /// The path within the policy directory, if it is known.
    path: Option<String>,
    inside: Option<SpannedString>,
}

impl Origin {
    /// Returns the origin of a script that is the whole of `file`.
    pub fn file(file: impl Into<String>) -> Self {
        Self { file: file.into(), path: None, inside: None }
    }

    /// Returns the origin of a script that is a string in `file`.
    pub fn inside(file: impl Into<String>, text: SpannedString) -> Self {
        Self { file: file.into(), path: None, inside: Some(text) }
    }

    /// Sets the path within the policy directory, which the log uses.
    #[must_use]
    pub fn with_path(self, path: impl Into<String>) -> Self {
        Self { path: Some(path.into()), ..self }
    }

    /// Returns the path within the policy directory, or the file name if the path is unknown.
    pub fn path(&self) -> &str {
        self.path.as_deref().unwrap_or(&self.file)
    }

    /// Returns the diagnostic with its position in the file.
    pub fn locate(&self, diagnostic: Diagnostic) -> Diagnostic {
        let Some(text) = &self.inside else { return diagnostic };
        let at = text.position(diagnostic.position.line, diagnostic.position.column);
        Diagnostic::new(at, diagnostic.message)
    }

    /// Formats a diagnostic as `file:line:column: message`.
    pub fn show(&self, diagnostic: Diagnostic) -> String {
        format!("{}:{}", self.file, self.locate(diagnostic))
    }
}
