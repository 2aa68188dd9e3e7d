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

/// A field whose name has one of these words holds a secret: `x-auth`, `sign`, `appSig`. They must be whole words,
/// because they are parts of many other words (`author`, `design`).
const SECRET_NAME_WORDS: [&str; 12] =
    ["sign", "sig", "auth", "jwt", "bearer", "pass", "passphrase", "pwd", "csrf", "xsrf", "pin", "otp"];

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
/// A name that ends with `count` denotes a number, such as the header `x-current-token-count`.
///
/// ```
/// use tidegate_core::secret::is_secret_name;
/// assert!(is_secret_name("X-API-Key") && is_secret_name("app_secret") && is_secret_name("appSign"));
/// assert!(!is_secret_name("app_key") && !is_secret_name("design") && !is_secret_name("token_count"));
/// ```
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let joined = name.replace(['-', '_'], "").to_ascii_lowercase();
    if joined.ends_with("count") {
        return false;
    }
    let is_secret_word = |word: &str| SECRET_NAME_WORDS.iter().any(|known| word.eq_ignore_ascii_case(known));
    SECRET_NAME_PARTS.iter().any(|part| joined.contains(part)) || words(name).any(is_secret_word)
}

/// Splits `app-sign`, `app_sign` and `appSign` into words.
fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| !c.is_ascii_alphanumeric()).flat_map(|word| {
        let bytes = word.as_bytes();
        let is_start = |at: &usize| bytes[at - 1].is_ascii_lowercase() && bytes[*at].is_ascii_uppercase();
        let mut starts: Vec<_> = (1..bytes.len()).filter(is_start).collect();
        starts.push(word.len());
        let mut start = 0;
        starts.into_iter().map(move |end| &word[std::mem::replace(&mut start, end)..end])
    })
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}
