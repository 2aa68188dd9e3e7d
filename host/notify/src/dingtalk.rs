//! The kind `dingtalk`: a DingTalk robot.

mod notifier;
mod rate_limiter;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use reqwest::Url;
use tidegate_core::config::reader::Section;
use tidegate_core::config::{Channel, ChannelConfig, ChannelContext, ChannelError};
use tidegate_core::{Notifier, Secret};

use self::notifier::DingTalkNotifier;
use self::rate_limiter::RobotRateLimiter;

/// A DingTalk robot, which posts notifications to a group.
///
/// Channels with the same webhook share the rate limit of the robot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DingTalk {
    /// The complete URL. It contains the access token.
    webhook: Secret,
    signing_secret: Option<Secret>,
}

impl DingTalk {
    /// Creates a channel that posts to the webhook of a robot: the complete URL that DingTalk shows.
    ///
    /// # Errors
    /// Returns an error if the webhook is not an HTTP URL. The message does not contain it.
    pub fn new(webhook: Secret) -> Result<Self, ChannelError> {
        let expected = "expected the complete URL that DingTalk shows, starting with https://";
        match Url::parse(webhook.expose()) {
            Ok(url) if ["https", "http"].contains(&url.scheme()) => Ok(Self { webhook, signing_secret: None }),
            Ok(_) => Err(ChannelError::new(expected)),
            Err(error) => Err(ChannelError::new(format!("{expected}; the value is not a URL: {error}"))),
        }
    }

    /// Sets the secret that signs messages, if the robot requires signatures.
    #[must_use]
    pub fn signing_secret(self, secret: Secret) -> Self {
        Self { signing_secret: Some(secret), ..self }
    }

    /// Reads the section of a channel.
    pub(crate) fn read(section: &mut Section<'_>) -> Option<Self> {
        let webhook = section.required_secret("webhook");
        let signing_secret = section.optional_secret("secret");
        match Self::new(webhook?) {
            Ok(channel) => Some(Self { signing_secret: signing_secret?, ..channel }),
            Err(error) => {
                section.reject_secret("webhook", &error.to_string());
                None
            }
        }
    }
}

impl Channel for DingTalk {
    fn open(&self, context: &ChannelContext) -> Result<Arc<dyn Notifier>, ChannelError> {
        let limiter = RobotRateLimiter::of_webhook(self.webhook.expose(), context.clock())?;
        Ok(Arc::new(DingTalkNotifier::new(self, Arc::clone(context.clock()), limiter)?))
    }
}

impl From<DingTalk> for ChannelConfig {
    fn from(channel: DingTalk) -> Self {
        Self::new("dingtalk", channel)
    }
}
