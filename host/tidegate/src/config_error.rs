//! The error of a configuration that cannot be activated.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(feature = "policies")]
use tidegate_core::config::ChannelError;
use tidegate_core::config::ConfigProblem;
#[cfg(feature = "policies")]
use tidegate_core::config::reader::Position;
use tidegate_core::config::reader::{Diagnostic, Diagnostics};

/// Why a configuration cannot be activated: its file cannot be read, its text has mistakes, a value that a program set
/// is invalid, or a channel or the Redis client cannot be opened.
///
/// It is displayed with one line for each mistake. A mistake in a file is displayed as `file:line:column: message`.
#[derive(Clone, Debug)]
pub struct ConfigError {
    /// The configuration file. `None` if the configuration was not read from a file.
    file: Option<PathBuf>,
    kind: Arc<ConfigErrorKind>,
}

#[derive(Debug)]
enum ConfigErrorKind {
    Unreadable(io::Error),
    Invalid(Diagnostics),
    /// A value of a configuration that a program built or changed.
    Problem(ConfigProblem),
    #[cfg(feature = "policies")]
    Channel(String, ChannelError),
    #[cfg(feature = "redis")]
    Redis(tidegate_redis::Error),
    #[cfg(not(feature = "redis"))]
    NoRedis,
}

impl ConfigError {
    pub(crate) fn unreadable(error: io::Error) -> Self {
        Self::new(ConfigErrorKind::Unreadable(error))
    }

    #[cfg(feature = "policies")]
    pub(crate) fn empty() -> Self {
        let message = "the file is empty; to use the defaults, add a comment line".to_owned();
        Self::invalid(Diagnostic::new(Position::START, message).into())
    }

    pub(crate) fn invalid(diagnostics: Diagnostics) -> Self {
        Self::new(ConfigErrorKind::Invalid(diagnostics))
    }

    #[cfg(feature = "policies")]
    pub(crate) fn channel(name: &str, error: ChannelError) -> Self {
        Self::new(ConfigErrorKind::Channel(name.to_owned(), error))
    }

    pub(crate) fn problem(problem: ConfigProblem) -> Self {
        Self::new(ConfigErrorKind::Problem(problem))
    }

    #[cfg(feature = "redis")]
    pub(crate) fn redis(error: tidegate_redis::Error) -> Self {
        Self::new(ConfigErrorKind::Redis(error))
    }

    #[cfg(not(feature = "redis"))]
    pub(crate) fn no_redis() -> Self {
        Self::new(ConfigErrorKind::NoRedis)
    }

    fn new(kind: ConfigErrorKind) -> Self {
        Self { file: None, kind: Arc::new(kind) }
    }

    /// Adds the file that contains the configuration to the message.
    pub(crate) fn in_file(self, file: &Path) -> Self {
        Self { file: Some(file.to_owned()), ..self }
    }

    /// Returns the mistakes of the text, each with its position; empty if the error has another cause.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match &*self.kind {
            ConfigErrorKind::Invalid(diagnostics) => diagnostics.as_ref(),
            _ => &[],
        }
    }

    /// Returns whether the configuration has mistakes. [`ConfigError::diagnostics`] lists those of a text.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        matches!(*self.kind, ConfigErrorKind::Invalid(_) | ConfigErrorKind::Problem(_))
    }

    /// Returns whether a channel cannot be opened.
    #[must_use]
    pub fn is_channel(&self) -> bool {
        #[cfg(feature = "policies")]
        return matches!(*self.kind, ConfigErrorKind::Channel(..));
        #[cfg(not(feature = "policies"))]
        false
    }

    /// Returns whether the Redis client cannot be opened.
    #[must_use]
    pub fn is_redis(&self) -> bool {
        #[cfg(feature = "redis")]
        return matches!(*self.kind, ConfigErrorKind::Redis(_));
        #[cfg(not(feature = "redis"))]
        matches!(*self.kind, ConfigErrorKind::NoRedis)
    }

    /// Returns whether there is no file at the path.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(&*self.kind, ConfigErrorKind::Unreadable(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_ref().map(|file| format!("{}:", file.display())).unwrap_or_default();
        let space = if file.is_empty() { "" } else { " " };
        match &*self.kind {
            ConfigErrorKind::Unreadable(error) => write!(f, "{file}{space}{error}"),
            #[cfg(feature = "policies")]
            ConfigErrorKind::Channel(name, error) => write!(f, "{file}{space}channels.{name}: {error}"),
            ConfigErrorKind::Problem(problem) => write!(f, "{file}{space}{problem}"),
            #[cfg(feature = "redis")]
            ConfigErrorKind::Redis(error) => {
                // The message of the error does not contain its cause, such as a missing file.
                let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
                write!(f, "{file}{space}[redis] {error}{cause}")
            }
            #[cfg(not(feature = "redis"))]
            ConfigErrorKind::NoRedis => {
                write!(f, "{file}{space}[redis] requires the feature `redis` of the crate `tidegate`")
            }
            ConfigErrorKind::Invalid(diagnostics) => {
                let lines: Vec<_> = diagnostics.iter().map(|diagnostic| format!("{file}{diagnostic}")).collect();
                f.write_str(&lines.join("\n"))
            }
        }
    }
}

impl Error for ConfigError {
    /// Returns the cause of the error that is displayed.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &*self.kind {
            ConfigErrorKind::Invalid(_) | ConfigErrorKind::Problem(_) => None,
            ConfigErrorKind::Unreadable(error) => error.source(),
            #[cfg(feature = "redis")]
            ConfigErrorKind::Redis(error) => error.source(),
            #[cfg(not(feature = "redis"))]
            ConfigErrorKind::NoRedis => None,
            #[cfg(feature = "policies")]
            ConfigErrorKind::Channel(_, error) => error.source(),
        }
    }
}

#[cfg(all(test, feature = "policies"))]
mod tests {
    use super::*;

    #[test]
    fn every_line_names_the_file_and_the_cause() {
        let text = "[retry]\njitter = 2\nmax_attempts = 0";
        let rows = [
            (
                ConfigError::invalid(tidegate_core::config::Config::parse(text).unwrap_err()),
                "f:2:10: retry.jitter: expected a number from 0 to 1, found 2\n\
                 f:3:16: retry.max_attempts: expected a whole number from 1 to 100, found 0",
            ),
            (ConfigError::empty(), "f:1:1: the file is empty; to use the defaults, add a comment line"),
            (ConfigError::unreadable(io::Error::other("too large")), "f: too large"),
            (ConfigError::channel("ops", ChannelError::new("no such room")), "f: channels.ops: no such room"),
        ];
        for (error, expected) in rows {
            assert_eq!(error.clone().in_file(Path::new("f")).to_string(), expected);
            let without_file = expected.replace("f: ", "").replace("f:", "");
            assert_eq!(error.to_string(), without_file);
        }
    }

    #[test]
    fn host_rejects_an_invalid_value_of_a_built_configuration() {
        let mut config = tidegate_core::config::Config::default();
        let host = crate::Host::builder().config(config.clone()).build().unwrap();
        config.retry.max_attempts = 0;
        let error = host.apply_config(config.clone()).unwrap_err();
        assert!(error.is_invalid() && host.config().retry.max_attempts > 0, "{error}");
        assert_eq!(error.to_string(), "retry.max_attempts: expected a whole number from 1 to 100, found 0");
        assert_eq!(crate::Host::builder().config(config).build().unwrap_err().to_string(), error.to_string());
    }

    #[test]
    fn predicates_tell_the_causes_apart() {
        let rows = [
            (ConfigError::unreadable(io::ErrorKind::NotFound.into()), [true, false, false, false]),
            (ConfigError::unreadable(io::ErrorKind::IsADirectory.into()), [false; 4]),
            (ConfigError::empty(), [false, true, false, false]),
            (ConfigError::channel("ops", ChannelError::new("no such room")), [false, false, true, false]),
        ];
        for (error, expected) in rows {
            let predicates = [error.is_not_found(), error.is_invalid(), error.is_channel(), error.is_redis()];
            assert_eq!(predicates, expected, "{error}");
            assert_eq!(error.diagnostics().len(), usize::from(error.is_invalid()), "{error}");
        }
    }

    #[cfg(feature = "redis")]
    #[tokio::test]
    async fn error_of_redis_contains_its_cause() {
        let mut redis = tidegate_core::config::RedisConfig::single("redis://127.0.0.1:1");
        redis.tls_ca = Some("/nowhere/ca.pem".into());
        let mut config = tidegate_core::config::Config::default();
        config.redis = Some(redis);
        let error = crate::Host::builder().config(config).build().unwrap_err();
        assert!(error.is_redis() && !error.is_invalid(), "{error}");
        assert!(error.to_string().starts_with("[redis] tls_ca: cannot read /nowhere/ca.pem: No such file"), "{error}");
        assert!(error.source().unwrap().to_string().starts_with("No such file"));
    }
}
