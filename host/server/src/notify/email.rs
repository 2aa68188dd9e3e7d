//! E-mail by SMTP: STARTTLS or plain, and the difference between "later" and "never".

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tidegate::core::notify::Sending;
use tidegate::core::{Notification, Notifier, NotifyError, Secret};
use tokio::time::timeout;

use super::{TIMEOUT, message, permanent, quoted, root_cause, transient};

/// How a mail server is reached.
pub(super) struct Server<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) starttls: bool,
    pub(super) credentials: Option<&'a (String, Secret)>,
}

/// One sender, some receivers, one server.
pub(super) struct Email {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    envelope: MessageBuilder,
    /// What a server could echo of our credentials.
    secrets: Vec<String>,
}

impl Email {
    pub(super) fn new(server: &Server<'_>, from: &str, to: &[String]) -> Result<Self, String> {
        let mut envelope = Message::builder().from(mailbox("from", from)?);
        for receiver in to {
            envelope = envelope.to(mailbox("to", receiver)?);
        }
        Ok(Self { transport: transport(server)?, envelope, secrets: secrets(server) })
    }

    async fn deliver(&self, notification: &Notification) -> Result<(), NotifyError> {
        let envelope = self.envelope.clone().subject(message::title(notification)).message_id(None);
        let message = envelope.header(ContentType::TEXT_PLAIN).body(text(notification));
        let message = message.map_err(|error| permanent(format!("the message cannot be written: {error}")))?;
        match timeout(TIMEOUT, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.refusal(&error)),
            Err(_) => Err(transient("the mail server did not answer in time", None)),
        }
    }

    /// A 5xx answer and what we ourselves cannot do are final; connections and 4xx answers may do better next time.
    fn refusal(&self, error: &Error) -> NotifyError {
        let words = quoted(&root_cause(error), &self.secrets);
        let status = error.status().map(|code| format!(" with {code}")).unwrap_or_default();
        if error.is_permanent() || error.is_client() {
            permanent(format!("the mail server refused{status}: {words}"))
        } else if error.is_transient() {
            transient(format!("the mail server said later{status}: {words}"), None)
        } else {
            transient(format!("the mail server cannot be reached: {words}"), None)
        }
    }
}

impl Notifier for Email {
    fn send<'a>(&'a self, notification: &'a Notification) -> Sending<'a> {
        Box::pin(self.deliver(notification))
    }
}

fn mailbox(field: &str, text: &str) -> Result<Mailbox, String> {
    text.parse().map_err(|error| format!("`{field}` {text:?} is no address: {error}"))
}

fn transport(server: &Server<'_>) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let builder = if server.starttls {
        // Refuses to go on where the server does not offer STARTTLS.
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

/// The password in each form in which SMTP sends it (AUTH PLAIN and LOGIN).
fn secrets(server: &Server<'_>) -> Vec<String> {
    let forms = |(user, password): &(String, Secret)| {
        let password = password.expose();
        [STANDARD.encode(format!("\0{user}\0{password}")), STANDARD.encode(password), password.to_owned()]
    };
    server.credentials.map(forms).into_iter().flatten().collect()
}

fn text(notification: &Notification) -> String {
    let facts = message::facts(notification).into_iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    format!("{}\r\n\r\n{}", message::title(notification), facts.collect::<String>())
}
