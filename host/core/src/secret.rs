//! Secrets, which logs never show.

use std::fmt;

/// A field whose name contains one of these, in lower case and without `-` and `_`, holds a secret.
const SECRET_NAME_PARTS: [&str; 12] = [
    "authorization",
    "cookie",
    "token",
    "secret",
    "password",
    "passwd",
    "signature",
    "credential",
    "session",
    "apikey",
    "accesskey",
    "privatekey",
];

/// A token, a password or a signing secret. Its `Debug` output does not show the value.
///
/// ```
/// use tidegate_core::Secret;
/// let secret = Secret::new("hunter2");
/// assert_eq!(format!("{secret:?}"), "Secret(***)");
/// assert_eq!(secret.expose(), "hunter2");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret value.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the value, for the code that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Returns whether a field of this name usually holds a secret. Platforms call a signature `sign`.
///
/// ```
/// use tidegate_core::secret::is_secret_name;
/// assert!(is_secret_name("X-API-Key") && is_secret_name("app_secret"));
/// assert!(!is_secret_name("app_key") && !is_secret_name("design"));
/// ```
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let joined = lower.replace(['-', '_'], "");
    SECRET_NAME_PARTS.iter().any(|part| joined.contains(part)) || lower.split(['-', '_']).any(|word| word == "sign")
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}
