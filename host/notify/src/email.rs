//! The kind `email`: email over SMTP.

mod notifier;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use lettre::message::Mailbox;
use tidegate_core::config::reader::{Section, choice, integer, list, parsed, string};
use tidegate_core::config::{Channel, ChannelConfig, ChannelContext, ChannelError};
use tidegate_core::{Notifier, Secret};

use self::notifier::EmailNotifier;

/// Email from one sender to one or more recipients, over one SMTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    host: String,
    port: u16,
    /// Whether to require STARTTLS or to send without encryption.
    starttls: bool,
    /// The user name and the password.
    credentials: Option<(String, Secret)>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Email {
    /// Creates a channel that sends over the mail server `host` with STARTTLS and without authentication. An address
    /// is written as `ops@example.com` or `Ops <ops@example.com>`.
    ///
    /// # Errors
    /// Returns an error if the host name or an address is invalid, or if there are no recipients.
    pub fn new(host: &str, port: u16, from: &str, to: &[&str]) -> Result<Self, ChannelError> {
        if to.is_empty() {
            return Err(ChannelError::new(NO_RECIPIENTS));
        }
        let to = to.iter().map(|to| parse_mailbox(to)).collect::<Result<_, _>>();
        Ok(Self {
            host: parse_host(host).map_err(ChannelError::new)?,
            port,
            starttls: true,
            credentials: None,
            from: parse_mailbox(from).map_err(ChannelError::new)?,
            to: to.map_err(ChannelError::new)?,
        })
    }

    /// Sets the user name and the password, if the server requires authentication.
    #[must_use]
    pub fn credentials(self, username: impl Into<String>, password: Secret) -> Self {
        Self { credentials: Some((username.into(), password)), ..self }
    }

    /// Sends without encryption.
    #[must_use]
    pub fn without_encryption(self) -> Self {
        Self { starttls: false, ..self }
    }

    /// Reads the section of a channel.
    pub(crate) fn read(section: &mut Section<'_>) -> Option<Self> {
        let host = section.required("host", parsed(parse_host));
        let port = section.required("port", integer(1..=u64::from(u16::MAX)));
        let starttls = section.required("tls", choice(&[("starttls", true), ("none", false)]));
        let credentials = read_credentials(section);
        let from = section.required("from", parsed(parse_mailbox));
        let to = section.required("to", list(|value| parsed(parse_mailbox)(value)));
        if to.as_ref().is_some_and(Vec::is_empty) {
            section.reject_value("to", NO_RECIPIENTS);
        }
        Some(Self {
            host: host?,
            port: u16::try_from(port?).ok()?,
            starttls: starttls?,
            credentials: credentials?,
            from: from?,
            to: to?,
        })
    }
}

impl Channel for Email {
    fn open(&self, context: &ChannelContext) -> Result<Arc<dyn Notifier>, ChannelError> {
        Ok(Arc::new(EmailNotifier::new(self, Arc::clone(context.clock()))?))
    }
}

impl From<Email> for ChannelConfig {
    fn from(channel: Email) -> Self {
        Self::new("email", channel)
    }
}

const NO_RECIPIENTS: &str = "expected at least one recipient";

/// Reads the user name and the password: both or neither. The outer `None` is a rejected value.
fn read_credentials(section: &mut Section<'_>) -> Option<Option<(String, Secret)>> {
    let has_username = section.contains_key("username");
    let username = section.optional("username", string);
    let password = section.optional_secret("password")?;
    match (has_username, password) {
        (false, None) => Some(None),
        (true, Some(password)) => username.map(|username| Some((username, password))),
        (true, None) => {
            let message = "a user name requires a password; give `password`, `password_env` or `password_file`";
            section.reject_value("username", message);
            None
        }
        (false, Some(_)) => {
            section.reject_secret("password", "a password requires a user name; give `username`");
            None
        }
    }
}

fn parse_host(text: &str) -> Result<String, &'static str> {
    let is_host = !text.is_empty() && !text.contains([' ', '/', '@']);
    if is_host { Ok(text.to_owned()) } else { Err("expected a host name such as \"smtp.example.com\"") }
}

fn parse_mailbox(text: &str) -> Result<Mailbox, String> {
    let expected = "expected an address such as \"ops@example.com\" or \"Ops <ops@example.com>\"";
    text.parse().map_err(|_| format!("{expected}, found {text:?}"))
}
