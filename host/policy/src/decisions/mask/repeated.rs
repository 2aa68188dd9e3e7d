//! Finds the secrets of an input where other text repeats them.

use std::collections::HashSet;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::{MASK, MIN_REPEATED_SIZE, work};

/// A search for many secrets in one pass. `None` if the automaton would be too large; then everything is masked.
pub struct SecretSearch(Option<AhoCorasick>);

impl SecretSearch {
    /// Creates a search. Of two secrets that start at the same position, it finds the longer one.
    pub fn new<'a>(secrets: impl Iterator<Item = &'a str>) -> Self {
        // Each search reads few texts, so it must be cheap to create.
        let kind = Some(AhoCorasickKind::NoncontiguousNFA);
        let secrets = secrets.inspect(|secret| work::add(secret.len()));
        Self(AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).kind(kind).build(secrets).ok())
    }

    /// Returns a text without the secrets.
    pub fn mask(&self, text: &str) -> String {
        work::add(text.len());
        let Some(automaton) = &self.0 else { return MASK.to_owned() };
        let mut masked = String::with_capacity(text.len());
        automaton.replace_all_with(text, &mut masked, |_, _, masked| {
            masked.push_str(MASK);
            true
        });
        masked
    }
}

/// The sequences of [`MIN_REPEATED_SIZE`] bytes in a text. They exclude nearly every secret that a short text does not
/// contain.
pub struct Sequences<'a>(HashSet<&'a [u8]>);

impl<'a> Sequences<'a> {
    pub fn of(text: &'a str) -> Self {
        work::add(text.len());
        Self(text.as_bytes().windows(MIN_REPEATED_SIZE).collect())
    }

    /// Returns whether the text may contain a secret.
    pub fn may_contain(&self, secret: &str) -> bool {
        secret.as_bytes().windows(MIN_REPEATED_SIZE).all(|sequence| {
            work::add(1);
            self.0.contains(sequence)
        })
    }
}
