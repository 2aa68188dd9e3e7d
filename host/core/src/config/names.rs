//! Rules about names.

use std::collections::BTreeSet;

use super::reader::{Section, SpannedString};

/// What is expected of the name of a limit or a channel.
pub(super) const NAME_RULE: &str = "expected a name of the characters a-z, 0-9, _ and -";

/// Returns whether a name is safe as a file name, a metrics label and a part of a URL.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    !name.is_empty() && name.chars().all(allowed)
}

/// Returns the first name that occurs a second time.
pub(super) fn repeated_name<T: Ord>(names: &[T]) -> Option<&T> {
    let mut earlier = BTreeSet::new();
    names.iter().find(|name| !earlier.insert(*name))
}

/// Rejects a name that is not safe as a file name, a metrics label and a part of a URL.
pub(super) fn check_name(name: &SpannedString, section: &Section<'_>) {
    if !is_name(&name.value) {
        section.reject(NAME_RULE);
    }
}
