//! The cause of an error.

use std::error::Error;

/// Returns the innermost message of an error, such as "connection refused". The outer ones refer to types of this
/// program, or only say that something failed.
pub fn root_cause(mut error: &dyn Error) -> String {
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
