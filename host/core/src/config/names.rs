//! The names of limits and channels.

use super::reader::{Section, SpannedString};

/// Rejects a name that is not safe as a file name, a metrics label and a part of a URL.
pub(super) fn check_name(name: &SpannedString, section: &Section<'_>) {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if name.value.is_empty() || !name.value.chars().all(allowed) {
        section.reject("expected a name of the characters a-z, 0-9, _ and -");
    }
}
