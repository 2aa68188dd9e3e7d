//! The presets that a configuration includes by name.

use toml::de::DeTable;

use super::names::repeated_name;
use super::reader::{Section, list, parsed, with_suggestion};

/// The presets, by name.
pub(super) const PRESETS: [(&str, &str); 1] = [("platforms", include_str!("presets/platforms.toml"))];

/// Returns the name of the preset that has a platform: a limit of this name.
pub(super) fn preset_of(platform: &str) -> Option<&'static str> {
    let has_limit = |text: &str| {
        let preset = DeTable::parse(text).ok()?.into_inner();
        Some(preset.get("limits")?.get_ref().as_table()?.contains_key(platform))
    };
    PRESETS.iter().find(|(_, text)| has_limit(text) == Some(true)).map(|(name, _)| *name)
}

/// Reads the names of the included presets and removes the others from the layers.
pub(super) fn read_presets(top: &mut Section<'_>) {
    let known = PRESETS.map(|(name, _)| name);
    let parse = |name: &str| match known.iter().find(|known| **known == name) {
        Some(name) => Ok(*name),
        None => Err(with_suggestion(format!("unknown preset `{name}`"), name, &known)),
    };
    let names = top.optional("presets", list(|value| parsed(parse)(value)));
    if let Some(name) = names.as_deref().and_then(repeated_name) {
        top.reject_value("presets", &format!("`{name}` occurs twice"));
    }
    // After a mistake every preset is included, so that the mistake does not cause others.
    let mistaken = names.is_none() && top.contains_key("presets");
    top.keep_presets(if mistaken { &known } else { names.as_deref().unwrap_or_default() });
}
