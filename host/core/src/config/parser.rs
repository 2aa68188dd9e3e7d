//! The parser of configurations, with what their texts may refer to.

use std::cell::RefCell;
use std::fmt;

use super::reader::{Diagnostics, EffectiveValue, Layer};
use super::{ChannelKinds, Config, Env, NoEnv, parse};

/// The text of the configuration that programs use without a configuration file.
const SHIPPED: &str = "presets = [\"platforms\"]\nchannels.log.kind = \"log\"\n";

static NO_CHANNEL_KINDS: ChannelKinds = ChannelKinds::new();

/// Parses configurations that refer to environment variables, files and channel kinds.
///
/// ```
/// use tidegate_core::config::{Env, NoEnv, Parser};
/// # struct FakeEnv;
/// # impl Env for FakeEnv {
/// #     fn var(&self, _: &str) -> std::io::Result<String> { Ok("hunter2".to_owned()) }
/// #     fn read_file(&self, _: &std::path::Path) -> std::io::Result<String> { NoEnv.read_file("".as_ref()) }
/// # }
/// let config = Parser::new().env(&FakeEnv).parse("[server]\ntoken_env = \"TOKEN\"\n").unwrap();
/// assert_eq!(config.server.token.unwrap().expose(), "hunter2");
/// ```
#[derive(Clone, Copy)]
pub struct Parser<'a> {
    pub(super) env: &'a dyn Env,
    pub(super) channel_kinds: &'a ChannelKinds,
}

impl<'a> Parser<'a> {
    /// Creates a parser without environment variables, files and channel kinds.
    #[must_use]
    pub fn new() -> Self {
        Self { env: &NoEnv, channel_kinds: &NO_CHANNEL_KINDS }
    }

    /// Sets the environment variables and files that secrets may refer to.
    #[must_use]
    pub fn env(self, env: &'a dyn Env) -> Self {
        Self { env, ..self }
    }

    /// Sets the kinds of channels that `[channels.NAME]` may have.
    #[must_use]
    pub fn channel_kinds(self, channel_kinds: &'a ChannelKinds) -> Self {
        Self { channel_kinds, ..self }
    }

    /// Parses a configuration. Values that it omits have their defaults.
    ///
    /// # Errors
    /// Returns every mistake of the text, each with its position and how to fix it.
    pub fn parse(&self, text: &str) -> Result<Config, Diagnostics> {
        parse::config(Layer::Document, text, self, None)
    }

    /// Returns the configuration that programs use without a configuration file: the preset `platforms` and a channel
    /// `log`.
    ///
    /// # Errors
    /// Returns an error if there is no channel kind `log`.
    pub fn shipped(&self) -> Result<Config, Diagnostics> {
        parse::config(Layer::Defaults, SHIPPED, self, None)
    }

    /// Returns every value of a configuration with its origin. Without a text, returns those of [`Parser::shipped`].
    ///
    /// ```
    /// use tidegate_core::config::Parser;
    /// use tidegate_core::config::reader::Origin;
    /// let values = Parser::new().effective_values(Some("retry.jitter = 0.1")).unwrap();
    /// let value = |key| values.iter().find(|value| value.key == key).unwrap();
    /// assert_eq!((value("retry.jitter").value.as_str(), &value("retry.jitter").origin), ("0.1", &Origin::Line(1)));
    /// assert_eq!((value("retry.deadline").value.as_str(), &value("retry.deadline").origin), ("\"2m\"", &Origin::Default));
    /// ```
    ///
    /// # Errors
    /// Returns every mistake of the text.
    pub fn effective_values(&self, text: Option<&str>) -> Result<Vec<EffectiveValue>, Diagnostics> {
        let layer = if text.is_some() { Layer::Document } else { Layer::Defaults };
        let values = RefCell::default();
        parse::config(layer, text.unwrap_or(SHIPPED), self, Some(&values))?;
        Ok(values.into_inner())
    }
}

impl Default for Parser<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Parser<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parser").field("channel_kinds", self.channel_kinds).finish_non_exhaustive()
    }
}
