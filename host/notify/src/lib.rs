//! The notification channels of [tidegate](https://docs.rs/tidegate): DingTalk robots, email, and the log of the
//! process.
//!
//! [`channel_kinds`] returns the kinds for a program that reads a configuration file:
//!
//! ```
//! use tidegate_core::config::Parser;
//! let kinds = tidegate_notify::channel_kinds();
//! let config = Parser::new().channel_kinds(&kinds).parse("[channels.ops]\nkind = \"log\"\n").unwrap();
//! assert_eq!(config.channels["ops"].kind(), "log");
//! ```
//!
//! With the crate `tidegate`, give them to `tidegate::ConfigFile::channel_kinds`. To create a channel without a file,
//! use its type:
//!
//! ```
//! # fn main() -> Result<(), tidegate_core::config::ChannelError> {
//! use tidegate_core::config::Config;
//! let mut config = Config::default();
//! config.channels.insert("ops".to_owned(), tidegate_notify::Log.into());
//! # #[cfg(feature = "email")] {
//! let email = tidegate_notify::Email::new("smtp.example.com", 587, "alerts@example.com", &["ops@example.com"])?;
//! config.channels.insert("email".to_owned(), email.into());
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! A channel sends a notification once. If that fails, the error says whether another attempt may succeed. The alerting
//! engine of tidegate makes further attempts.
//!
//! # Features
//!
//! | feature | default | enables |
//! | --- | --- | --- |
//! | `dingtalk` | yes | the kind `dingtalk`, [`DingTalk`] |
//! | `email` | yes | the kind `email`, [`Email`] |
//!
//! The kind `log` is always available.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "dingtalk")]
mod dingtalk;
#[cfg(feature = "email")]
mod email;
mod log;
mod message;
#[cfg(any(feature = "dingtalk", feature = "email"))]
mod receiver;

#[cfg(test)]
mod tests;

use tidegate_core::config::{ChannelKinds, Config, Parser};

#[cfg(feature = "dingtalk")]
pub use dingtalk::DingTalk;
#[cfg(feature = "email")]
pub use email::Email;
pub use log::Log;

/// Returns the kinds of this crate: `log`, `dingtalk` and `email`. Use [`ChannelKinds::register`] to add your own.
///
/// If the feature of a kind is disabled, a configuration that uses the kind is rejected with a message that says so.
#[must_use]
pub fn channel_kinds() -> ChannelKinds {
    let kinds = ChannelKinds::new().register("log", |_| Some(Log));
    #[cfg(feature = "dingtalk")]
    let kinds = kinds.register("dingtalk", DingTalk::read);
    #[cfg(not(feature = "dingtalk"))]
    let kinds = kinds.unavailable("dingtalk", "requires the feature `dingtalk` of the crate `tidegate-notify`");
    #[cfg(feature = "email")]
    let kinds = kinds.register("email", Email::read);
    #[cfg(not(feature = "email"))]
    let kinds = kinds.unavailable("email", "requires the feature `email` of the crate `tidegate-notify`");
    kinds
}

/// Returns the configuration that programs use without a configuration file: the platforms of the preset `platforms`,
/// and a channel `log`.
#[must_use]
#[expect(clippy::expect_used, reason = "the text is a constant, and a test parses it")]
pub fn shipped_config() -> Config {
    Parser::new().channel_kinds(&channel_kinds()).shipped().expect("the shipped configuration is valid")
}
