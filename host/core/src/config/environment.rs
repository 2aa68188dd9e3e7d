//! The environment variables and files that a configuration can refer to.

use std::io;
use std::path::Path;

/// Reads the environment variables and files that a configuration refers to, such as `token_env` and `token_file`.
///
/// `tidegate::SystemEnv` reads those of the process. [`NoEnv`] has none.
pub trait Env: Send + Sync {
    /// Returns the value of an environment variable.
    ///
    /// # Errors
    /// Returns [`io::ErrorKind::NotFound`] if the variable is not set, and another error if it cannot be read.
    fn var(&self, name: &str) -> io::Result<String>;

    /// Returns the contents of a file.
    ///
    /// # Errors
    /// Returns the reason if the file cannot be read.
    fn read_file(&self, path: &Path) -> io::Result<String>;
}

/// An environment without variables and files: a configuration that refers to one is rejected.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEnv;

impl Env for NoEnv {
    fn var(&self, _: &str) -> io::Result<String> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this program does not give access to environment variables"))
    }

    fn read_file(&self, _: &Path) -> io::Result<String> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this program does not give access to files"))
    }
}
