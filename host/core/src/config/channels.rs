//! `[channels.NAME]`: the notification channels.

use super::ChannelConfig;
use super::reader::{Section, choice, integer, list, parsed, string};
use super::secrets::{self, Env};
use crate::Secret;

#[derive(Clone, Copy)]
enum ChannelKind {
    Log,
    DingTalk,
    Email,
}

/// Reads one channel. Its kind determines the other keys.
pub(super) fn read_channel(section: &mut Section<'_>, env: &dyn Env) -> Option<ChannelConfig> {
    let kinds = [("log", ChannelKind::Log), ("dingtalk", ChannelKind::DingTalk), ("email", ChannelKind::Email)];
    match section.required("kind", choice(&kinds)) {
        Some(ChannelKind::Log) => Some(ChannelConfig::Log),
        Some(ChannelKind::DingTalk) => read_dingtalk(section, env),
        Some(ChannelKind::Email) => read_email(section, env),
        None => {
            section.allow_unknown_keys();
            None
        }
    }
}

fn read_dingtalk(section: &mut Section<'_>, env: &dyn Env) -> Option<ChannelConfig> {
    let webhook = secrets::required(section, ["webhook", "webhook_env", "webhook_file"], env);
    let secret = secrets::optional(section, ["secret", "secret_env", "secret_file"], env);
    let webhook = webhook.filter(|webhook| {
        let is_url = ["https://", "http://"].iter().any(|scheme| webhook.expose().starts_with(scheme));
        if !is_url {
            // The message does not show the value, which contains the token.
            section.reject("`webhook` must be the complete URL that DingTalk shows, starting with https://");
        }
        is_url
    });
    Some(ChannelConfig::DingTalk { webhook: webhook?, secret: secret? })
}

fn read_email(section: &mut Section<'_>, env: &dyn Env) -> Option<ChannelConfig> {
    let host = section.required("host", parsed(parse_host));
    let port = section.required("port", integer(1..=u64::from(u16::MAX)));
    let starttls = section.required("tls", choice(&[("starttls", true), ("none", false)]));
    let credentials = read_credentials(section, env);
    let from = section.required("from", parsed(parse_mailbox));
    let to = section.required("to", list(|value| parsed(parse_mailbox)(value)));
    if to.as_ref().is_some_and(Vec::is_empty) {
        section.reject_value("to", "expected at least one recipient");
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

/// Reads the user name and the password: both or neither. The outer `None` is a rejected value.
fn read_credentials(section: &mut Section<'_>, env: &dyn Env) -> Option<Option<(String, Secret)>> {
    let has_username = section.contains_key("username");
    let username = section.optional("username", string);
    let password = secrets::optional(section, ["password", "password_env", "password_file"], env)?;
    match (has_username, password) {
        (false, None) => Some(None),
        (true, Some(password)) => username.map(|username| Some((username, password))),
        (true, None) => {
            let message = "a user name requires a password; give `password`, `password_env` or `password_file`";
            section.reject_value("username", message);
            None
        }
        (false, Some(_)) => {
            section.reject("a password requires a user name; give `username`");
            None
        }
    }
}

fn parse_host(text: &str) -> Result<String, &'static str> {
    let is_host = !text.is_empty() && !text.contains([' ', '/', '@']);
    if is_host { Ok(text.to_owned()) } else { Err("expected a host name such as \"smtp.example.com\"") }
}

/// Checks a mailbox: `user@example.com` or `Name <user@example.com>`.
fn parse_mailbox(text: &str) -> Result<String, String> {
    let address = text.strip_suffix('>').and_then(|text| text.split_once('<')).map_or(text, |(_, address)| address);
    match address.split_once('@') {
        Some((user, host)) if !user.is_empty() && !host.is_empty() && !address.contains([' ', '<', '>']) => {
            Ok(text.to_owned())
        }
        _ => {
            Err(format!("expected an address such as \"ops@example.com\" or \"Ops <ops@example.com>\", found {text:?}"))
        }
    }
}
