//! The channels that carry alerts to people.
//!
//! A notifier delivers once and says whether another attempt may help; when to try again is for alerting to decide.

mod dingtalk;
mod email;
mod log;
mod message;
mod pace;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tidegate::core::config::ChannelConfig;
use tidegate::core::{Notifier, NotifyError};

/// A receiver that answers nothing for this long is taken for lost.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A notifier for each channel of a configuration.
///
/// # Errors
/// The first channel that cannot be built, and why, in one sentence without any secret.
pub fn from_config(channels: &BTreeMap<String, ChannelConfig>) -> Result<BTreeMap<String, Arc<dyn Notifier>>, String> {
    let build = |(name, config): (&String, &ChannelConfig)| {
        let notifier = notifier(config).map_err(|error| format!("channels.{name}: {error}"))?;
        Ok((name.clone(), notifier))
    };
    channels.iter().map(build).collect()
}

fn notifier(config: &ChannelConfig) -> Result<Arc<dyn Notifier>, String> {
    Ok(match config {
        ChannelConfig::Log => Arc::new(log::Log),
        ChannelConfig::DingTalk { webhook, secret } => {
            Arc::new(dingtalk::DingTalk::new(webhook, secret.clone(), pace::Pace::of(webhook.expose())?)?)
        }
        ChannelConfig::Email { host, port, starttls, credentials, from, to } => {
            let server = email::Server { host, port: *port, starttls: *starttls, credentials: credentials.as_ref() };
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

/// The innermost cause of an error: the outer ones only say that something failed.
fn root_cause(mut error: &dyn Error) -> String {
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

/// A receiver's own words, short and without our secrets, in case it echoes what we sent.
fn quoted(words: &str, secrets: &[String]) -> String {
    let secrets = secrets.iter().filter(|secret| !secret.is_empty());
    let clean = secrets.fold(words.to_owned(), |words, secret| words.replace(secret.as_str(), "***"));
    message::cut(&message::line(&clean), 300)
}
