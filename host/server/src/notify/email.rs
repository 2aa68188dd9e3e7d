//! E-mail by SMTP, with STARTTLS or plain. Errors distinguish temporary from permanent failures.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tidegate_core::notify::SendFuture;
use tidegate_core::{Notification, Notifier, NotifyError, Secret};
use tokio::time::timeout;

use super::{TIMEOUT, message, permanent, redacted, root_cause, transient};

/// The address and the credentials of a mail server.
pub(super) struct MailServer<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) starttls: bool,
    pub(super) credentials: Option<&'a (String, Secret)>,
}

/// Sends mail from one sender to one or more receivers through one server.
pub(super) struct Email {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    envelope: MessageBuilder,
    /// The credentials in every form that a server could echo.
    secrets: Vec<String>,
}

impl Email {
    pub(super) fn new(server: &MailServer<'_>, from: &str, to: &[String]) -> Result<Self, String> {
        let mut envelope = Message::builder().from(mailbox("from", from)?);
        for receiver in to {
            envelope = envelope.to(mailbox("to", receiver)?);
        }
        Ok(Self { transport: transport(server)?, envelope, secrets: secrets(server) })
    }

    async fn deliver(&self, notification: &Notification) -> Result<(), NotifyError> {
        let envelope = self.envelope.clone().subject(message::title(notification)).message_id(None);
        let message = envelope.header(ContentType::TEXT_PLAIN).body(text(notification));
        let message = message.map_err(|error| permanent(format!("cannot build the message: {error}")))?;
        match timeout(TIMEOUT, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.smtp_error(&error)),
            Err(_) => Err(transient("the mail server did not respond in time", None)),
        }
    }

    /// Classifies an SMTP error. Replies of class 5xx and errors of the client are permanent. Connection errors and
    /// replies of class 4xx are transient.
    fn smtp_error(&self, error: &Error) -> NotifyError {
        let cause = redacted(&root_cause(error), &self.secrets);
        let status = error.status().map(|code| format!(" {code}")).unwrap_or_default();
        if error.is_permanent() || error.is_client() {
            permanent(format!("sending mail failed with permanent error{status}: {cause}"))
        } else if error.is_transient() {
            transient(format!("sending mail failed with temporary error{status}: {cause}"), None)
        } else {
            transient(format!("the mail server cannot be reached: {cause}"), None)
        }
    }
}

impl Notifier for Email {
    fn send<'a>(&'a self, notification: &'a Notification) -> SendFuture<'a> {
        Box::pin(self.deliver(notification))
    }
}

fn mailbox(field: &str, text: &str) -> Result<Mailbox, String> {
    text.parse().map_err(|error| format!("`{field}` {text:?} is not a valid address: {error}"))
}

fn transport(server: &MailServer<'_>) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let builder = if server.starttls {
        // Fails if the server does not offer STARTTLS.
        AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(server.host).map_err(|error| error.to_string())?
    } else {
        AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server.host)
    };
    let builder = builder.port(server.port).timeout(Some(TIMEOUT));
    Ok(match server.credentials {
        Some((user, password)) => {
            builder.credentials(Credentials::new(user.clone(), password.expose().to_owned())).build()
        }
        None => builder.build(),
    })
}

/// Returns the password in every form in which SMTP sends it (AUTH PLAIN and LOGIN).
fn secrets(server: &MailServer<'_>) -> Vec<String> {
    let encodings = |(user, password): &(String, Secret)| {
        let password = password.expose();
        [STANDARD.encode(format!("\0{user}\0{password}")), STANDARD.encode(password), password.to_owned()]
    };
    server.credentials.map(encodings).into_iter().flatten().collect()
}

fn text(notification: &Notification) -> String {
    let facts = message::facts(notification).into_iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    format!("{}\r\n\r\n{}", message::title(notification), facts.collect::<String>())
}
