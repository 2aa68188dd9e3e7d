//! `[channels.NAME]`: where alerts go.

use super::ChannelConfig;
use super::reader::{Section, choice, integer, list, parsed, string};
use super::secrets::{self, Env};
use crate::Secret;

#[derive(Clone, Copy)]
enum Kind {
    Log,
    DingTalk,
    Email,
}

/// Reads one channel; its kind says which other keys there are.
pub(super) fn channel(section: &mut Section<'_>, env: &dyn Env) -> Option<ChannelConfig> {
    let kinds = [("log", Kind::Log), ("dingtalk", Kind::DingTalk), ("email", Kind::Email)];
    match section.required("kind", choice(&kinds)) {
        Some(Kind::Log) => Some(ChannelConfig::Log),
        Some(Kind::DingTalk) => dingtalk(section, env),
        Some(Kind::Email) => email(section, env),
        None => {
            section.skip_rest();
            None
        }
    }
}

fn dingtalk(section: &mut Section<'_>, env: &dyn Env) -> Option<ChannelConfig> {
    let webhook = secrets::required(section, ["webhook", "webhook_env", "webhook_file"], env);
    let secret = secrets::optional(section, ["secret", "secret_env", "secret_file"], env);
    let webhook = webhook.filter(|webhook| {
        let fine = ["https://", "http://"].iter().any(|scheme| webhook.expose().starts_with(scheme));
        if !fine {
            // Not shown: it holds the token.
            section.refuse("`webhook` must be the whole address that DingTalk shows, beginning with https://");
        }
        fine
    });
    Some(ChannelConfig::DingTalk { webhook: webhook?, secret: secret? })
}

fn email(section: &mut Section<'_>, env: &dyn Env) -> Option<ChannelConfig> {
    let host = section.required("host", parsed(host));
    let port = section.required("port", integer(1..=u64::from(u16::MAX)));
    let starttls = section.required("tls", choice(&[("starttls", true), ("none", false)]));
    let credentials = credentials(section, env);
    let from = section.required("from", parsed(mailbox));
    let to = section.required("to", list(|value| parsed(mailbox)(value)));
    if to.as_ref().is_some_and(Vec::is_empty) {
        section.refuse_value("to", "expected at least one receiver");
    }
    Some(ChannelConfig::Email {
        host: host?,
        port: u16::try_from(port?).ok()?,
        starttls: starttls?,
        credentials: credentials?,
        from: from?,
        to: to?,
    })
}

/// User name and password come together or not at all.
fn credentials(section: &mut Section<'_>, env: &dyn Env) -> Option<Option<(String, Secret)>> {
    let named = section.has("username");
    let username = section.optional("username", string);
    let password = secrets::optional(section, ["password", "password_env", "password_file"], env)?;
    match (named, password) {
        (false, None) => Some(None),
        (true, Some(password)) => username.map(|username| Some((username, password))),
        (true, None) => {
            let mend = "a user name needs a password: give `password`, `password_env` or `password_file`";
            section.refuse_value("username", mend);
            None
        }
        (false, Some(_)) => {
            section.refuse("a password needs a user name: give `username`");
            None
        }
    }
}

fn host(text: &str) -> Result<String, &'static str> {
    let plain = !text.is_empty() && !text.contains([' ', '/', '@']);
    if plain { Ok(text.to_owned()) } else { Err("expected the name of a mail server such as \"smtp.example.com\"") }
}

/// `user@example.com` or `Name <user@example.com>`.
fn mailbox(text: &str) -> Result<String, String> {
    let address = text.strip_suffix('>').and_then(|text| text.split_once('<')).map_or(text, |(_, address)| address);
    match address.split_once('@') {
        Some((user, host)) if !user.is_empty() && !host.is_empty() && !address.contains([' ', '<', '>']) => {
            Ok(text.to_owned())
        }
        _ => Err(format!("expected an address such as \"ops@example.com\" or \"Ops <ops@example.com>\", not {text:?}")),
    }
}
