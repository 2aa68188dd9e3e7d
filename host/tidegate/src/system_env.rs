//! The environment variables and files of the process.

use std::io;
use std::path::{Path, PathBuf};

use tidegate_core::config::Env;

use crate::text_file;

/// The environment variables and the files of this process, for the secrets of a configuration. A file must be a
/// regular file of at most 1 MiB.
///
/// [`ConfigFile`](crate::ConfigFile) uses it. Use it directly to parse a configuration that is not in a file:
///
/// ```
/// use tidegate::SystemEnv;
/// use tidegate::config::Parser;
/// let env = SystemEnv::new("/etc/tidegate");
/// let config = Parser::new().env(&env).parse("[limits.shop]\nrate = \"10/s\"\nburst = 10\n").unwrap();
/// assert_eq!(config.limits["shop"].quota.burst(), 10);
/// ```
#[derive(Clone, Debug, Default)]
pub struct SystemEnv {
    dir: PathBuf,
}

impl SystemEnv {
    /// Creates an environment whose relative file paths start at the directory `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }
}

impl Env for SystemEnv {
    fn var(&self, name: &str) -> io::Result<String> {
        std::env::var(name).map_err(|error| match error {
            std::env::VarError::NotPresent => io::ErrorKind::NotFound.into(),
            std::env::VarError::NotUnicode(_) => io::Error::new(io::ErrorKind::InvalidData, "not valid UTF-8"),
        })
    }

    fn read_file(&self, path: &Path) -> io::Result<String> {
        text_file::read_regular(&self.dir.join(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_path_starts_at_the_directory() {
        let env = SystemEnv::new(env!("CARGO_MANIFEST_DIR"));
        assert!(env.read_file(Path::new("Cargo.toml")).unwrap().contains("name = \"tidegate\""));
        assert_eq!(env.read_file(Path::new("not-there")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn variable_that_is_not_set_is_not_found() {
        let env = SystemEnv::default();
        assert!(env.var("CARGO_MANIFEST_DIR").unwrap().ends_with("tidegate"));
        assert_eq!(env.var("TIDEGATE_NOT_SET").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
