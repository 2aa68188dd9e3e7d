//! `[platforms.NAME]`: what is special about one platform.

use std::collections::BTreeMap;

use super::error_shape::{check_header_name, parse_header_name, read_error_shape};
use super::limits::Limits;
use super::names::repeated_name;
use super::presets::preset_of;
use super::reader::{NamedTable, Section, SpannedString, list, nearest_name, one_or_list, parsed};
use super::retry::read_retry;
use super::{ErrorShape, RetryConfig};

/// A section `[platforms.NAME]`: what is special about one platform.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PlatformConfig {
    /// Where the platform puts errors in its responses, in order of precedence. If it is empty, only the HTTP status
    /// reports errors.
    pub error: Vec<ErrorShape>,
    /// Further headers for policies, in lower case: response headers for retry policies, in addition to the built-in
    /// ones, and request headers for admission policies, which get no others.
    pub headers: Vec<String>,
    /// How failed calls of the platform are retried, if that differs from `[retry]`.
    pub retry: Option<RetryConfig>,
}

/// Returns the message about a platform without a limit.
pub(super) fn no_limit(name: &str) -> String {
    format!("the platform has no limit; add [limits.{name}]")
}

/// Returns the message about a header that occurs twice in `headers`.
fn occurs_twice(name: &str) -> String {
    format!("`{name}` occurs twice")
}

/// Checks the headers of a platform that a program built.
///
/// # Errors
/// Returns the message about the first header that no file could have.
pub(super) fn check_headers(headers: &[String]) -> Result<(), String> {
    headers.iter().try_for_each(|name| check_header_name(name))?;
    repeated_name(headers).map_or(Ok(()), |name| Err(occurs_twice(name)))
}

/// Reads the sections `[platforms.NAME]`.
pub(super) fn read_platforms<'a>(
    platforms: Vec<(SpannedString, NamedTable<'a>)>,
    limits: &Limits,
    retry: &Section<'a>,
) -> BTreeMap<String, PlatformConfig> {
    let known = limits.platforms();
    let mut configs = BTreeMap::new();
    for (SpannedString { value: name, .. }, platform) in platforms {
        let NamedTable::Table(mut section) = platform else { continue };
        if !known.contains(&name.as_str()) {
            let preset = preset_of(&name).map(|preset| format!(" or presets = [{preset:?}]"));
            let nearest = || nearest_name(&name, &known).map(|near| format!(" (did you mean `{near}`?)"));
            let suggestion = preset.or_else(nearest).unwrap_or_default();
            section.reject(&format!("{}{suggestion}", no_limit(&name)));
        }
        let config = read_platform(&mut section, retry);
        configs.extend(config.map(|config| (name, config)));
    }
    configs
}

/// Reads `[platforms.NAME]`. Keys that its table `retry` omits have the values of `[retry]`.
fn read_platform<'a>(section: &mut Section<'a>, retry: &Section<'a>) -> Option<PlatformConfig> {
    let error = section.optional("error", one_or_list(read_error_shape));
    let headers = section.optional("headers", list(|value| parsed(parse_header_name)(value)));
    let retry = match section.table("retry") {
        Some(mut own) => {
            own.inherit(retry);
            Some(read_retry(&mut own)?)
        }
        None => None,
    };
    let mut headers = headers.unwrap_or_default();
    headers.sort_unstable();
    if let Some(name) = repeated_name(&headers) {
        section.reject_value("headers", &occurs_twice(name));
    }
    Some(PlatformConfig { error: error.unwrap_or_default(), headers, retry })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::config::Config;

    const SHOP: &str = "[limits.shop]\nrate = '1/s'\nburst = 1\n";

    fn parse(text: &str) -> Result<Config, Vec<String>> {
        let config = Config::parse(text);
        config.map_err(|diagnostics| diagnostics.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn preset_is_included_by_its_name_only() {
        assert_eq!(parse("").unwrap(), Config::default());
        assert_eq!(parse("presets = []").unwrap(), Config::default());
        let rows = [
            ("presets = ['platform']", "1:12: presets: unknown preset `platform` (did you mean `platforms`?)"),
            ("presets = ['all']", "1:12: presets: unknown preset `all`; expected `platforms`"),
            ("presets = ['platforms', 'platforms']", "1:11: presets: `platforms` occurs twice"),
            ("presets = 'platforms'", "1:11: presets: expected a list in [ ], found a string"),
            // A mistake in `presets` causes no other one.
            (
                "presets = [5]\n[platforms]\ntmall = false",
                "1:12: presets: expected a string in quotes, found an integer",
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(parse(text).unwrap_err(), [expected], "{text}");
        }
    }

    #[test]
    fn platform_of_a_preset_is_removed_by_false() {
        let config = parse("presets = ['platforms']\n[platforms]\ntmall = false").unwrap();
        let mut expected = Config::with_platforms();
        expected.limits.remove("tmall");
        expected.platforms.remove("tmall");
        assert_eq!(config, expected);
        let rows = [
            (
                "presets = ['platforms']\nplatforms.tmal = false",
                "2:18: platforms.tmal: unknown platform `tmal` (did you mean `tmall`?)",
            ),
            (
                "platforms.tmall = false",
                "1:19: platforms.tmall: unknown platform `tmall`; to include it, add presets = \
                 [\"platforms\"]",
            ),
            ("platforms.tmal = false", "1:18: platforms.tmal: unknown platform `tmal`; none is defined"),
            (
                "presets = ['platforms']\nplatforms.tmall = true",
                "2:19: platforms.tmall: expected a table `[platforms.tmall]` or false, found a boolean",
            ),
            (
                &format!("{SHOP}[platforms]\nshop = false"),
                "1:9: limits.shop: the platform is removed by `false` in [platforms]; remove one of the two",
            ),
            (
                &format!(
                    "{SHOP}[limits.orders]\nrate = '1/s'\nburst = 1\nplatform = 'pdd'\nlabels = {{ api = 'orders' }}"
                ),
                "7:12: limits.orders.platform: unknown platform `pdd`; expected `shop`",
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(parse(text).unwrap_err(), [expected], "{text}");
        }
    }

    #[test]
    fn section_of_a_preset_platform_replaces_single_keys() {
        let config = parse("presets = ['platforms']\nplatforms.jd.headers = ['X-Trace']").unwrap();
        let preset = Config::with_platforms();
        assert_eq!(config.platforms["jd"].headers, ["x-trace"]);
        assert_eq!(config.error_shapes("jd"), preset.error_shapes("jd"));
        let config = parse("presets = ['platforms']\nplatforms.jd.error = []").unwrap();
        assert_eq!(config.error_shapes("jd"), []);
        assert_eq!(config.limits, preset.limits);
    }

    #[test]
    fn section_of_a_platform_requires_its_limit() {
        let rows = [
            (
                "[platforms.tmall]\nheaders = []".to_owned(),
                "1:12: platforms.tmall: the platform has no limit; add [limits.tmall] or presets = [\"platforms\"]",
            ),
            (
                format!("{SHOP}[platforms.shop]\nheaders = ['X-A', 'b', 'x-a']"),
                "5:11: platforms.shop.headers: `x-a` occurs twice",
            ),
            (
                "[platforms.shop]\nheaders = []".to_owned(),
                "1:12: platforms.shop: the platform has no limit; add [limits.shop]",
            ),
            // The preset has these keys in other sections.
            (
                "[platforms.error]\nheaders = []".to_owned(),
                "1:12: platforms.error: the platform has no limit; add [limits.error]",
            ),
            (
                "[platforms.limits]\nheaders = []".to_owned(),
                "1:12: platforms.limits: the platform has no limit; add [limits.limits]",
            ),
            (
                format!("{SHOP}[platforms.shpo]\nheaders = []"),
                "4:12: platforms.shpo: the platform has no limit; add [limits.shpo] (did you mean `shop`?)",
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(parse(&text).unwrap_err(), [expected], "{text}");
        }
    }

    #[test]
    fn retry_of_a_platform_inherits_the_keys_that_it_omits() {
        let text = format!("{SHOP}[retry]\njitter = 0.25\n[platforms.shop.retry]\nmax_attempts = 2\nmax_delay = '3s'");
        let config = parse(&text).unwrap();
        let own = config.retry_for("shop");
        assert_eq!(
            (own.max_attempts, own.backoff.max_delay(), own.backoff.jitter()),
            (2, Duration::from_secs(3), 0.25)
        );
        assert_eq!(
            (own.backoff.base_delay(), own.deadline),
            (config.retry.backoff.base_delay(), config.retry.deadline)
        );
        assert_eq!(config.retry_for("jd"), &config.retry);
        let rows = [
            (
                "[platforms.shop.retry]\nmax_atempts = 2",
                "5:1: platforms.shop.retry: unknown key `max_atempts` (did you mean `max_attempts`?)",
            ),
            (
                "[platforms.shop.retry]\nmax_delay = '1ms'",
                "5:13: platforms.shop.retry.max_delay: the maximum delay (1ms) is below the base delay (1s); raise \
                 `max_delay` or lower `base_delay`",
            ),
            // A mistake in `[retry]` is reported once.
            (
                "[retry]\njitter = 2\n[platforms.shop.retry]\nmax_attempts = 2",
                "5:10: retry.jitter: expected a number from 0 to 1, found 2",
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(parse(&format!("{SHOP}{text}")).unwrap_err(), [expected], "{text}");
        }
    }
}
