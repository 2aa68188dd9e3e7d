//! The channels that send alert notifications to people.
//!
//! A notifier sends a notification once. If that fails, the error says whether a retry may succeed. The alerting engine
//! decides when to retry.

mod dingtalk;
mod email;
mod log;
mod message;
mod rate_limiter;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::config::ChannelConfig;
use tidegate_core::{Notifier, NotifyError};

use self::rate_limiter::RobotRateLimiter;

/// How long a notifier waits for the receiver to respond.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Builds a notifier for each channel of a configuration.
///
/// # Errors
/// Returns an error if a channel cannot be built. The message names the first such channel and the reason, and contains
/// no secret.
pub fn from_config(channels: &BTreeMap<String, ChannelConfig>) -> Result<BTreeMap<String, Arc<dyn Notifier>>, String> {
    let build = |(name, config): (&String, &ChannelConfig)| {
        let notifier = notifier(config).map_err(|error| format!("channels.{name}: {error}"))?;
        Ok((name.clone(), notifier))
    };
    channels.iter().map(build).collect()
}

fn notifier(config: &ChannelConfig) -> Result<Arc<dyn Notifier>, String> {
    Ok(match config {
        ChannelConfig::Log => Arc::new(log::LogChannel),
        ChannelConfig::DingTalk { webhook, secret } => Arc::new(dingtalk::DingTalk::new(
            webhook,
            secret.clone(),
            RobotRateLimiter::for_webhook(webhook.expose())?,
        )?),
        ChannelConfig::Email { host, port, starttls, credentials, from, to } => {
            let server =
                email::MailServer { host, port: *port, starttls: *starttls, credentials: credentials.as_ref() };
            Arc::new(email::Email::new(&server, from, to)?)
        }
    })
}

fn transient(message: impl Into<String>, retry_after: Option<Duration>) -> NotifyError {
    NotifyError { message: message.into(), transient: true, retry_after }
}

fn permanent(message: impl Into<String>) -> NotifyError {
    NotifyError { message: message.into(), transient: false, retry_after: None }
}

/// Returns the innermost cause of an error. The outer errors only say that something failed.
fn root_cause(mut error: &dyn Error) -> String {
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

/// Shortens a receiver's message and masks our secrets, because a receiver can echo what we sent.
fn redacted(message: &str, secrets: &[String]) -> String {
    let secrets = secrets.iter().filter(|secret| !secret.is_empty());
    let masked = secrets.fold(message.to_owned(), |message, secret| message.replace(secret.as_str(), "***"));
    message::truncate(&message::single_line(&masked), 300)
}
