//! Errors in scripts, with their positions.

use std::time::Duration;

use rhai::{EvalAltResult, Position};
use tidegate_core::FaultKind;
use tidegate_core::config::PolicyLimits;
use tidegate_core::config::reader::{self, Diagnostic};

use super::messages;

/// An error of a running script, with its position in the script.
#[derive(Debug)]
pub struct ScriptError {
    /// The kind of the fault.
    pub kind: FaultKind,
    /// The message and its position.
    pub diagnostic: Diagnostic,
}

impl ScriptError {
    /// Converts an error of the engine.
    pub fn new(error: &EvalAltResult, limits: &PolicyLimits, deadline: Duration) -> Self {
        // An error inside a function of the script is reported at its position inside the function.
        let inner = error.unwrap_inner();
        let at = if inner.position().is_none() { error.position() } else { inner.position() };
        let kind = match inner {
            EvalAltResult::ErrorTerminated(..) => FaultKind::Deadline,
            EvalAltResult::ErrorTooManyOperations(_) => FaultKind::Operations,
            EvalAltResult::ErrorDataTooLarge(..)
            | EvalAltResult::ErrorStackOverflow(_)
            | EvalAltResult::ErrorTooManyVariables(_) => FaultKind::Memory,
            EvalAltResult::ErrorMismatchOutputType(..) => FaultKind::Type,
            _ => FaultKind::Trap,
        };
        Self { kind, diagnostic: diagnostic(at, messages::runtime(inner, limits, deadline)) }
    }

    /// Returns the error as a diagnostic that names the sample on which it occurred.
    pub fn on_sample(self, sample: &str) -> Diagnostic {
        Diagnostic::new(self.diagnostic.position, format!("{} (sample input: {sample})", self.diagnostic.message))
    }
}

/// Creates a diagnostic at a position of the script; a missing position means the start of the script.
pub fn diagnostic(at: Position, message: impl Into<String>) -> Diagnostic {
    let at = reader::Position { line: at.line().unwrap_or(1), column: at.position().unwrap_or(1) };
    Diagnostic::new(at, message)
}

/// Returns the diagnostic for an error of a script that ran without a deadline.
#[cfg(feature = "scripts")]
#[must_use]
pub fn error_diagnostic(error: &EvalAltResult, limits: &PolicyLimits) -> Diagnostic {
    ScriptError::new(error, limits, Duration::MAX).diagnostic
}
