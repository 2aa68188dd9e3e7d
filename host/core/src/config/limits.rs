//! `[limits.NAME]`: the rate limits.

use std::collections::BTreeMap;

use super::names::check_name;
use super::presets::preset_of;
use super::reader::{self, NamedTable, Origin, Section, SpannedString, integer, parsed, with_suggestion};
use super::{LimitConfig, LimitScope};
use crate::{OnRedisFailure, Quota, Rate};

/// What is expected of the keys `platform` and `labels`.
pub(super) const LABELS_RULE: &str =
    "give both `platform` and `labels`, or neither; together they define an additional limit of the platform";

/// The limits of a configuration.
#[derive(Default)]
pub(super) struct Limits {
    pub limits: BTreeMap<String, LimitConfig>,
    /// The scopes of additional limits.
    pub scopes: BTreeMap<String, LimitScope>,
    /// The names of all limits, those with mistakes included.
    names: Vec<String>,
}

impl Limits {
    /// Returns the names of the platforms: the limits that are not additional limits.
    pub fn platforms(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).filter(|name| !self.scopes.contains_key(*name)).collect()
    }
}

/// Reads `[limits]`, without the limits of platforms that the configuration removes.
pub(super) fn read_limits(top: &mut Section<'_>, platforms: &[(SpannedString, NamedTable<'_>)]) -> Limits {
    let mut limits = Limits::default();
    let mut removed: BTreeMap<&str, &reader::TomlValue<'_>> = BTreeMap::new();
    for (name, platform) in platforms {
        if let NamedTable::Removed(value) = platform {
            removed.insert(&name.value, value);
        }
    }
    let mut sections = top.tables("limits");
    let known: Vec<_> = sections.iter().map(|(name, _)| name.value.clone()).collect();
    for (name, value) in &removed {
        if !known.iter().any(|known| known == name) {
            let known: Vec<_> = known.iter().map(String::as_str).collect();
            let message = format!("unknown platform `{name}`");
            let message = match preset_of(name) {
                Some(preset) => format!("{message}; to include it, add presets = [{preset:?}]"),
                None => with_suggestion(message, name, &known),
            };
            value.reject::<()>(&message);
        }
    }
    for (name, section) in &mut sections {
        // A burst that fits one rate seldom fits another, so a limit replaces the one of a preset as a whole.
        section.ignore_lower_layers();
        if removed.contains_key(&*name.value) {
            section.allow_unknown_keys();
            if section.is_in_document() {
                section.reject("the platform is removed by `false` in [platforms]; remove one of the two");
            }
            continue;
        }
        check_name(name, section);
        limits.names.push(name.value.clone());
        let Some((limit, scope)) = read_limit(section) else { continue };
        limits.limits.insert(name.value.clone(), limit);
        limits.scopes.extend(scope.map(|scope| (name.value.clone(), scope)));
    }
    check_scopes(&sections, &limits);
    limits
}

/// Reads `[limits.NAME]`. Rate and burst have no defaults, because a burst that fits one rate seldom fits another.
fn read_limit(section: &mut Section<'_>) -> Option<(LimitConfig, Option<LimitScope>)> {
    let rate = section.required("rate", parsed(str::parse::<Rate>));
    let burst = section.required("burst", integer(1..=u64::MAX));
    if !section.contains_key("on_redis_failure") {
        section.record("on_redis_failure", &format!("\"{}\"", OnRedisFailure::default()), Origin::Default);
    }
    let on_redis_failure =
        section.optional("on_redis_failure", parsed(str::parse::<OnRedisFailure>)).unwrap_or_default();
    let platform = section.optional("platform", reader::string);
    let labels = section.values("labels", reader::string);
    if platform.is_some() == labels.is_empty() {
        section.reject(LABELS_RULE);
    }
    let scope = platform.map(|platform| LimitScope { platform, labels });
    match Quota::new(rate?, burst?) {
        Ok(quota) => Some((LimitConfig { quota, on_redis_failure }, scope)),
        Err(error) => {
            section.reject_value("burst", &error.to_string());
            None
        }
    }
}

/// Reports additional limits of platforms that do not exist.
fn check_scopes(sections: &[(SpannedString, Section<'_>)], limits: &Limits) {
    let platforms = limits.platforms();
    for (name, section) in sections {
        let Some(LimitScope { platform, .. }) = limits.scopes.get(&name.value) else { continue };
        if !platforms.contains(&platform.as_str()) {
            let message = with_suggestion(format!("unknown platform `{platform}`"), platform, &platforms);
            section.reject_value("platform", &message);
        }
    }
}
