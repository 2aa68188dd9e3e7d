//! `[channels.NAME]`: the notification channels, whose kinds are registered by name.

#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use super::reader::{Section, nearest_name, string};
use crate::{Clock, Notifier};

/// The settings of a channel, which a [`ChannelKinds`] reads from its section and which open its [`Notifier`].
///
/// `Debug` output must not show secrets. The fields of type [`Secret`](crate::Secret) do not.
pub trait Channel: fmt::Debug + Send + Sync + 'static {
    /// Opens the channel.
    ///
    /// It is called at the start and when the settings change, not always inside an async runtime. Therefore it must
    /// not wait for the receiver: connect when the first notification is sent.
    ///
    /// # Errors
    /// Returns an error if the channel can never send with these settings. The message must not contain secrets.
    fn open(&self, context: &ChannelContext) -> Result<Arc<dyn Notifier>, ChannelError>;
}

/// What a program gives to the channels that it opens.
#[derive(Clone)]
pub struct ChannelContext {
    clock: Arc<dyn Clock>,
}

impl ChannelContext {
    /// Creates a context.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }

    /// Returns the clock of the program.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
}

impl fmt::Debug for ChannelContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelContext").finish_non_exhaustive()
    }
}

/// The error of a channel that cannot be opened.
#[derive(Clone, Debug)]
pub struct ChannelError(Arc<dyn Error + Send + Sync>);

impl ChannelError {
    /// Creates an error from a message, which must not contain secrets, or from another error.
    #[must_use]
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(error.into().into())
    }
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for ChannelError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// A section `[channels.NAME]`: the kind and the settings of one notification channel.
///
/// Two channels are equal if they have the same kind and equal settings.
#[derive(Clone)]
pub struct ChannelConfig {
    kind: Arc<str>,
    channel: Arc<dyn AnyChannel>,
}

impl ChannelConfig {
    /// Creates a channel without a configuration file.
    #[must_use]
    pub fn new(kind: &str, channel: impl Channel + PartialEq) -> Self {
        Self { kind: kind.into(), channel: Arc::new(channel) }
    }

    /// Creates a channel of kind `custom` that sends with `notifier`.
    ///
    /// If the configuration is reloaded from a file, the file replaces all channels. Register a kind with
    /// [`ChannelKinds::register`] to configure a channel there.
    #[must_use]
    pub fn from_notifier(notifier: Arc<dyn Notifier>) -> Self {
        Self::new("custom", OpenChannel(notifier))
    }

    /// Returns the name of the kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Opens the channel.
    ///
    /// # Errors
    /// Returns an error if the channel can never send with its settings.
    pub fn open(&self, context: &ChannelContext) -> Result<Arc<dyn Notifier>, ChannelError> {
        self.channel.open(context)
    }
}

impl PartialEq for ChannelConfig {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.channel.equals(&*other.channel)
    }
}

impl fmt::Debug for ChannelConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelConfig").field("kind", &self.kind).field("channel", &self.channel).finish()
    }
}

/// Channels of any type that can be compared.
trait AnyChannel: Channel {
    fn as_any(&self) -> &dyn Any;

    fn equals(&self, other: &dyn AnyChannel) -> bool;
}

impl<C: Channel + PartialEq> AnyChannel for C {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn equals(&self, other: &dyn AnyChannel) -> bool {
        other.as_any().downcast_ref() == Some(self)
    }
}

/// A channel that is open already.
struct OpenChannel(Arc<dyn Notifier>);

impl Channel for OpenChannel {
    fn open(&self, _: &ChannelContext) -> Result<Arc<dyn Notifier>, ChannelError> {
        Ok(Arc::clone(&self.0))
    }
}

impl PartialEq for OpenChannel {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for OpenChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenChannel")
    }
}

/// A channel whose kind the program did not register; see [`ChannelKinds::accept_unknown`].
#[derive(Debug, PartialEq)]
struct UnknownChannel;

impl Channel for UnknownChannel {
    fn open(&self, _: &ChannelContext) -> Result<Arc<dyn Notifier>, ChannelError> {
        Err(ChannelError::new("this program does not support the kind of this channel"))
    }
}

/// Reads the settings of a channel from its section. Returns `None` if it reported a mistake.
type ReadChannel = dyn Fn(&mut Section<'_>) -> Option<Arc<dyn AnyChannel>> + Send + Sync;

/// The kinds of channels that a configuration may have, by the name that `kind` gives. Clones are cheap.
///
/// The module `channel` of the crate `tidegate` has a complete example.
#[derive(Clone, Default)]
pub struct ChannelKinds {
    kinds: BTreeMap<String, Kind>,
    accepts_unknown: bool,
}

#[derive(Clone)]
enum Kind {
    Registered(Arc<ReadChannel>),
    /// Why the program does not have this kind.
    Unavailable(String),
}

impl ChannelKinds {
    /// Creates an empty set of kinds.
    #[must_use]
    pub const fn new() -> Self {
        Self { kinds: BTreeMap::new(), accepts_unknown: false }
    }

    /// Adds a kind. It replaces the kind of the same name.
    ///
    /// `read` reads the keys of the section `[channels.NAME]`, except `kind`. It returns `None` only if it reported a
    /// mistake. Keys that it does not request are reported as unknown.
    #[must_use]
    pub fn register<C: Channel + PartialEq>(
        mut self,
        name: impl Into<String>,
        read: impl Fn(&mut Section<'_>) -> Option<C> + Send + Sync + 'static,
    ) -> Self {
        let read = move |section: &mut Section<'_>| Some(Arc::new(read(section)?) as Arc<dyn AnyChannel>);
        self.kinds.insert(name.into(), Kind::Registered(Arc::new(read)));
        self
    }

    /// Adds the name of a kind that this build of the program does not have. A configuration that uses it is rejected
    /// with the message "the channel kind `name` `reason`", for example "requires the feature `email`".
    #[must_use]
    pub fn unavailable(mut self, name: impl Into<String>, reason: impl Into<String>) -> Self {
        self.kinds.insert(name.into(), Kind::Unavailable(reason.into()));
        self
    }

    /// Accepts channels of all other kinds too, without checking their keys. Such a channel cannot be opened.
    ///
    /// Use it in tools that read the configuration of another program and send no notifications.
    #[must_use]
    pub fn accept_unknown(self) -> Self {
        Self { accepts_unknown: true, ..self }
    }

    /// Returns the names of the registered kinds.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.kinds.iter().filter(|(_, kind)| matches!(kind, Kind::Registered(_))).map(|(name, _)| name.as_str())
    }

    /// Reads one channel. Its kind determines the other keys.
    pub(super) fn read(&self, section: &mut Section<'_>) -> Option<ChannelConfig> {
        let kind = section.required("kind", |value| {
            let name = string(value)?;
            match self.kinds.get(&name) {
                Some(Kind::Registered(read)) => Some((name, Some(read))),
                _ if self.accepts_unknown => Some((name, None)),
                Some(Kind::Unavailable(reason)) => value.reject(&format!("the channel kind `{name}` {reason}")),
                None => value.reject(&self.unknown_kind(&name)),
            }
        });
        let Some((name, Some(read))) = kind else {
            section.allow_unknown_keys();
            return kind.map(|(name, _)| ChannelConfig::new(&name, UnknownChannel));
        };
        Some(ChannelConfig { kind: name.into(), channel: read(section)? })
    }

    fn unknown_kind(&self, name: &str) -> String {
        let names: Vec<_> = self.names().collect();
        let suggestion = nearest_name(name, &names).map(|nearest| format!(" (did you mean `{nearest}`?)"));
        let registered = match names.split_last() {
            None => "no channel kinds".to_owned(),
            Some((only, [])) => format!("only `{only}`"),
            Some((last, others)) => format!("`{}` and `{last}`", others.join("`, `")),
        };
        format!("unknown channel kind `{name}`{}; this program registers {registered}", suggestion.unwrap_or_default())
    }
}

impl fmt::Debug for ChannelKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
