//! Sends email over SMTP. Errors distinguish temporary from permanent failures.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lettre::message::MessageBuilder;
use lettre::message::header::ContentType;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tidegate_core::config::ChannelError;
use tidegate_core::notify::SendFuture;
use tidegate_core::{Clock, Notification, Notifier, NotifyError, Secret};
use tokio::time::timeout;

use super::Email;
use crate::message;
use crate::receiver::{TIMEOUT, redacted, root_cause};

/// Sends mail from one sender to one or more recipients over one server.
pub struct EmailNotifier {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    envelope: MessageBuilder,
    clock: Arc<dyn Clock>,
    /// The credentials in every form that a server could echo.
    secrets: Vec<String>,
}

impl EmailNotifier {
    pub fn new(channel: &Email, clock: Arc<dyn Clock>) -> Result<Self, ChannelError> {
        let envelope = Message::builder().from(channel.from.clone());
        let envelope = channel.to.iter().fold(envelope, |envelope, recipient| envelope.to(recipient.clone()));
        Ok(Self { transport: transport(channel)?, envelope, clock, secrets: secrets(channel) })
    }

    async fn deliver(&self, notification: &Notification) -> Result<(), NotifyError> {
        let date = UNIX_EPOCH + Duration::from_millis(self.clock.unix_ms());
        let envelope = self.envelope.clone().subject(message::title(notification)).date(date).message_id(None);
        let message = envelope.header(ContentType::TEXT_PLAIN).body(text(notification));
        let message = message.map_err(|error| NotifyError::permanent(format!("cannot build the message: {error}")))?;
        match timeout(TIMEOUT, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.smtp_error(&error)),
            Err(_) => Err(NotifyError::transient("the mail server did not respond in time")),
        }
    }

    /// Classifies an SMTP error. Replies of class 5xx and errors of the client are permanent. Connection errors and
    /// replies of class 4xx are transient.
    fn smtp_error(&self, error: &Error) -> NotifyError {
        let cause = redacted(&root_cause(error), &self.secrets);
        let status = error.status().map(|code| format!(" {code}")).unwrap_or_default();
        if error.is_permanent() || error.is_client() {
            NotifyError::permanent(format!("sending mail failed with permanent error{status}: {cause}"))
        } else if error.is_transient() {
            NotifyError::transient(format!("sending mail failed with temporary error{status}: {cause}"))
        } else {
            NotifyError::transient(format!("the mail server cannot be reached: {cause}"))
        }
    }
}

impl Notifier for EmailNotifier {
    fn send<'a>(&'a self, notification: &'a Notification) -> SendFuture<'a> {
        Box::pin(self.deliver(notification))
    }
}

fn transport(channel: &Email) -> Result<AsyncSmtpTransport<Tokio1Executor>, ChannelError> {
    let builder = if channel.starttls {
        // Sending fails if the server does not offer STARTTLS.
        AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(&channel.host).map_err(ChannelError::new)?
    } else {
        AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&channel.host)
    };
    let builder = builder.port(channel.port).timeout(Some(TIMEOUT));
    Ok(match &channel.credentials {
        Some((user, password)) => {
            builder.credentials(Credentials::new(user.clone(), password.expose().to_owned())).build()
        }
        None => builder.build(),
    })
}

/// Returns the password in every form in which SMTP sends it (AUTH PLAIN and LOGIN).
fn secrets(channel: &Email) -> Vec<String> {
    let encodings = |(user, password): &(String, Secret)| {
        let password = password.expose();
        [STANDARD.encode(format!("\0{user}\0{password}")), STANDARD.encode(password), password.to_owned()]
    };
    channel.credentials.as_ref().map(encodings).into_iter().flatten().collect()
}

fn text(notification: &Notification) -> String {
    let facts = message::facts(notification).into_iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    format!("{}\r\n\r\n{}", message::title(notification), facts.collect::<String>())
}
