//! The configuration file of a program.

use std::path::{Path, PathBuf};

use tidegate_core::config::reader::EffectiveValue;
use tidegate_core::config::{ChannelKinds, Config, Parser};

use crate::config_error::ConfigError;
use crate::stores::Stores;
use crate::system_env::SystemEnv;
use crate::text_file;

/// A configuration file, with the channel kinds that it may use.
///
/// Relative paths in the file (the policy directory and cache, the decision log, `tls_ca`, the files of secrets) start
/// at the directory of the file.
///
/// A file with `[channels.NAME]` is rejected unless the program gives the kinds of its channels to
/// [`ConfigFile::channel_kinds`]; see [`channel`](crate::channel).
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use tidegate::channel::ChannelKinds;
/// use tidegate::{ConfigFile, Host};
/// let kinds = ChannelKinds::new(); // or `tidegate_notify::channel_kinds()`, which has `log`, `dingtalk` and `email`
/// let file = ConfigFile::new("tidegate.toml").channel_kinds(kinds);
/// let host = Host::builder().config(file.read()?).build()?;
/// # #[cfg(feature = "rhai")]
/// let watch = host.follow_config(&file)?; // activates the file whenever it changes, until `watch` is dropped
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ConfigFile {
    path: PathBuf,
    channel_kinds: ChannelKinds,
}

impl ConfigFile {
    /// Creates a description of the file at `path`. Nothing is read yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), channel_kinds: ChannelKinds::new() }
    }

    /// Sets the kinds of channels that `[channels.NAME]` may have. The default is none.
    #[must_use]
    pub fn channel_kinds(self, channel_kinds: ChannelKinds) -> Self {
        Self { channel_kinds, ..self }
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads and checks the file. A program that registers channel kinds of its own uses this in place of `tidegate
    /// check`, which does not know them.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or all mistakes of the file.
    pub fn read(&self) -> Result<Config, ConfigError> {
        self.parse(&self.read_text()?)
    }

    /// Returns every value of the file, the presets that it includes and the defaults, with its origin.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or all mistakes of the file.
    pub fn effective_values(&self) -> Result<Vec<EffectiveValue>, ConfigError> {
        let text = self.read_text()?;
        let env = SystemEnv::new(self.dir());
        let values = Parser::new().env(&env).channel_kinds(&self.channel_kinds).effective_values(Some(&text));
        values.map_err(|diagnostics| ConfigError::invalid(diagnostics).in_file(&self.path))
    }

    /// Returns the directory where relative paths in the file start.
    fn dir(&self) -> &Path {
        self.path.parent().unwrap_or_else(|| Path::new(""))
    }

    /// Reads the text once, also from a pipe.
    fn read_text(&self) -> Result<String, ConfigError> {
        text_file::read(&self.path).map_err(|error| ConfigError::unreadable(error).in_file(&self.path))
    }

    /// Reads the text again after a change. A pipe has no second text: opening it could block the watcher forever.
    pub(crate) fn read_changed_text(&self) -> Result<String, ConfigError> {
        text_file::read_regular(&self.path).map_err(|error| ConfigError::unreadable(error).in_file(&self.path))
    }

    /// Parses the text of the file. The addresses and certificates of `[redis]` are checked too, so that
    /// `tidegate check` and a reload reject what a start would reject.
    pub(crate) fn parse(&self, text: &str) -> Result<Config, ConfigError> {
        let config = self.parse_text(text)?;
        Stores::check(&config).map_err(|error| error.in_file(&self.path))?;
        Ok(config)
    }

    fn parse_text(&self, text: &str) -> Result<Config, ConfigError> {
        let env = SystemEnv::new(self.dir());
        let config = Parser::new().env(&env).channel_kinds(&self.channel_kinds).parse(text);
        let mut config = config.map_err(|diagnostics| ConfigError::invalid(diagnostics).in_file(&self.path))?;
        resolve_paths(&mut config, self.dir());
        Ok(config)
    }
}

/// Makes relative paths start at `dir`.
fn resolve_paths(config: &mut Config, dir: &Path) {
    let tls_ca = config.redis.as_mut().and_then(|redis| redis.tls_ca.as_mut());
    let optional = [config.policies.cache.as_mut(), config.decisions.file.as_mut(), tls_ca];
    for path in optional.into_iter().flatten().chain([&mut config.policies.dir]) {
        *path = dir.join(&path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_start_at_the_directory_of_the_file() {
        let text = "[policies]\ndir = 'p'\ncache = '/c'\n[decisions]\nfile = 'd'\n\
                    [redis]\nurl = 'rediss://a'\ntls_ca = 'ca.pem'\n";
        let config = ConfigFile::new("etc/tidegate.toml").parse_text(text).unwrap();
        assert_eq!(config.policies.dir, Path::new("etc/p"));
        assert_eq!(config.policies.cache.as_deref(), Some(Path::new("/c")));
        assert_eq!(config.decisions.file.as_deref(), Some(Path::new("etc/d")));
        assert_eq!(config.redis.unwrap().tls_ca.as_deref(), Some(Path::new("etc/ca.pem")));
    }

    #[test]
    fn errors_name_the_file() {
        let file = ConfigFile::new("not/there.toml");
        let error = file.read().unwrap_err();
        assert!(error.is_not_found() && error.to_string().starts_with("not/there.toml: "), "{error}");
        let error = file.parse("[limits.a]\nrate = '0/s'\nburst = 1\n[channels.b]\nkind = 'log'").unwrap_err();
        let expected = "not/there.toml:2:8: limits.a.rate: a rate must be above zero; a rate of zero would refuse every call\n\
                        not/there.toml:5:8: channels.b.kind: unknown channel kind `log`; this program registers no channel kinds";
        assert_eq!(error.to_string(), expected);
    }

    #[cfg(feature = "redis")]
    #[test]
    fn redis_that_cannot_be_opened_is_rejected() {
        let url = "expected a URL such as redis://host:6379/0 or rediss://user:password@host:6379/0";
        let rows = [
            ("url = 'redis://u:geheim@host:port'", url),
            ("url = 'redis://u:geheim@'", url),
            ("kind = 'cluster'\nurl = 'redis://u:geheim@a/3'", "url: a cluster has only database 0"),
            ("url = 'redis://u:geheim@a'\ntls_ca = 'x.pem'", "tls_ca: cannot read not/x.pem"),
            ("url = 'rediss://u:geheim@a'\ntls_ca = 'x.pem'", "tls_ca: cannot read not/x.pem"),
            ("url = 'rediss://u:geheim@a'\ntls_ca = '/dev/zero'", "tls_ca: cannot read /dev/zero"),
        ];
        for (text, expected) in rows {
            let error = ConfigFile::new("not/there.toml").parse(&format!("[redis]\n{text}")).unwrap_err().to_string();
            assert!(error.starts_with("not/there.toml: [redis] ") && error.contains(expected), "{text}: {error}");
            assert!(!error.contains("geheim"), "{error}");
        }
        assert!(ConfigFile::new("x").parse("[redis]\nurl = 'rediss://u:p@host:1/2'").is_ok());
    }
}
