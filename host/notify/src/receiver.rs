//! What all receivers of notifications have in common.

use std::error::Error;
use std::time::Duration;

use crate::message;

/// How long a notifier waits for the receiver to respond.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Returns the innermost cause of an error. The outer errors only say that something failed.
pub fn root_cause(mut error: &dyn Error) -> String {
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

/// Shortens a receiver's message and masks our secrets, because a receiver can echo what we sent.
pub fn redacted(message: &str, secrets: &[String]) -> String {
    let secrets = secrets.iter().filter(|secret| !secret.is_empty());
    let masked = secrets.fold(message.to_owned(), |message, secret| message.replace(secret.as_str(), "***"));
    message::truncate(&message::single_line(&masked), 300)
}
