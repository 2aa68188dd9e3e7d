//! What a program needs to send alerts to a service of its own: a channel kind, with its section of the configuration.
//!
//! A kind has two types: its settings, which implement [`Channel`], and a [`Notifier`], which sends. [`ChannelKinds`]
//! maps the `kind` of a section to the function that reads it. The built-in kinds `log`, `dingtalk` and `email` are in
//! the crate `tidegate-notify`: to have them too, begin with `tidegate_notify::channel_kinds()` in place of
//! `ChannelKinds::new()`. [`ConfigFile::read`](crate::ConfigFile::read) checks a file with all kinds; the command
//! `tidegate check` knows only the built-in ones.
//!
//! # Example
//!
//! A kind `pager`, which is configured like this:
//!
//! ```toml
//! [channels.oncall]
//! kind = "pager"
//! number = 4711
//! key_env = "PAGER_KEY"   # or `key`, or `key_file`
//! ```
//!
//! ```
//! use std::sync::Arc;
//! use tidegate::channel::{Channel, ChannelContext, ChannelError, ChannelKinds, Notifier, NotifyError, SendFuture};
//! use tidegate::config::reader::{Section, integer};
//! use tidegate::{ConfigFile, Host, Notification, Secret};
//!
//! /// The settings. A reload compares them to find out whether the channel changed.
//! #[derive(Clone, Debug, PartialEq)]
//! struct Pager { number: u64, key: Secret }
//!
//! impl Pager {
//!     /// Reads the section. Mistakes are reported with line and column; `None` means that there was one.
//!     fn read(section: &mut Section<'_>) -> Option<Self> {
//!         let number = section.required("number", integer(1..=9999));
//!         let key = section.required_secret("key");
//!         Some(Self { number: number?, key: key? })
//!     }
//! }
//!
//! impl Channel for Pager {
//!     fn open(&self, _: &ChannelContext) -> Result<Arc<dyn Notifier>, ChannelError> {
//!         Ok(Arc::new(PagerNotifier(self.clone())))
//!     }
//! }
//!
//! struct PagerNotifier(Pager);
//!
//! impl Notifier for PagerNotifier {
//!     fn send<'a>(&'a self, notification: &'a Notification) -> SendFuture<'a> {
//!         Box::pin(async move {
//!             call_pager(&self.0, &notification.title()).await.map_err(NotifyError::transient)
//!         })
//!     }
//! }
//!
//! async fn call_pager(pager: &Pager, text: &str) -> Result<(), String> {
//!     // Send the text to the service, with `pager.key.expose()`.
//! #   let _ = (pager, text);
//!     Ok(())
//! }
//!
//! # let dir = std::env::temp_dir().join(format!("tidegate-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&dir)?;
//! # let path = dir.join("tidegate.toml");
//! # std::fs::write(&path, "[channels.oncall]\nkind = \"pager\"\nnumber = 4711\nkey = \"hunter2\"\n")?;
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
//! # let _guard = runtime.enter();
//! let file = ConfigFile::new(path).channel_kinds(ChannelKinds::new().register("pager", Pager::read));
//! let host = Host::builder().config(file.read()?).build()?;
//! assert_eq!(host.config().channels["oncall"].kind(), "pager");
//! # std::fs::remove_dir_all(dir)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A channel that needs no section can be added in code: see [`ChannelConfig::from_notifier`].

pub use tidegate_core::config::{Channel, ChannelConfig, ChannelContext, ChannelError, ChannelKinds};
pub use tidegate_core::notify::SendFuture;
pub use tidegate_core::{Notifier, NotifyError};
