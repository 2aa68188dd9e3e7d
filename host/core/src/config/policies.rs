//! `[policies]` and `[policy.NAME]`: where policies live, how far they may go, and what they are set to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::parse::or;
use super::reader::{Section, Text, choice, integer, parsed, scalar, time};

/// A Wasm memory grows by pages of this size …
const WASM_PAGE: u64 = 64 << 10;
/// … and 32-bit addresses end here.
const WASM_MOST: u64 = 4 << 30;
/// The folders that policies lie in, each for what its policies decide.
const KINDS: [&str; 3] = ["retry", "alerts", "admit"];

/// `[policies]`, with the `[policy.NAME]` sections.
#[derive(Clone, Debug, PartialEq)]
pub struct PoliciesConfig {
    /// The directory, relative to the configuration file.
    pub dir: PathBuf,
    /// How long one retry verdict may take.
    pub retry_deadline: Duration,
    /// How long one alert verdict may take.
    pub alert_deadline: Duration,
    /// How long one verdict on a request may take.
    pub admit_deadline: Duration,
    /// What a policy may take, unless a section of its own says otherwise.
    pub bounds: Bounds,
    /// So many faults within the window set a policy aside until it is edited.
    pub max_faults: u32,
    /// See `max_faults`.
    pub fault_window: Duration,
    /// The directory of compiled components, relative to the configuration file; without one, none are kept.
    pub cache: Option<PathBuf>,
    /// The most that the cache may hold, in bytes.
    pub cache_size: u64,
    /// What single policies have of their own, by file without its ending: `retry/taobao`.
    pub each: BTreeMap<String, PolicyConfig>,
}

/// What one policy may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The most memory of one Wasm instance, in bytes.
    pub max_memory: usize,
    /// The most entries of one Wasm table.
    pub max_table: usize,
    /// The most instances at one time.
    pub max_instances: usize,
    /// Whether an instance serves more than one call.
    pub isolation: Isolation,
    /// The most operations of one Rhai evaluation.
    pub max_operations: u64,
    /// The deepest that functions of a Rhai script may call each other.
    pub max_depth: usize,
    /// The longest text that a Rhai script may make, in bytes.
    pub max_text: usize,
    /// The longest list and the largest map of a Rhai script.
    pub max_items: usize,
}

/// What a call finds of the calls before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// An instance serves many calls.
    #[default]
    Reuse,
    /// Every call has an instance of its own, fresh from the component.
    Fresh,
}

/// `[policy.NAME]`: what one policy has of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyConfig {
    /// Its deadline, where it is not the one of its kind.
    pub deadline: Option<Duration>,
    /// What it may take.
    pub bounds: Bounds,
    /// What it is set to.
    pub settings: Settings,
}

/// What a policy is set to, by name.
pub type Settings = BTreeMap<String, Setting>;

/// One setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// True or false.
    Flag(bool),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

/// All that holds for one policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// How long one verdict may take.
    pub deadline: Duration,
    /// What it may take.
    pub bounds: Bounds,
    /// What it is set to.
    pub settings: Settings,
}

impl PoliciesConfig {
    /// What holds for the policy in this file, such as `retry/taobao.rhai`; the ending does not matter.
    #[must_use]
    pub fn terms(&self, path: &str) -> Terms {
        let name = Path::new(path).with_extension("");
        let own = name.to_str().and_then(|name| self.each.get(name.trim_end_matches(".candidate")));
        let deadline = match path.split_once('/').map(|(kind, _)| kind) {
            Some("retry") => self.retry_deadline,
            Some("admit") => self.admit_deadline,
            _ => self.alert_deadline,
        };
        Terms {
            deadline: own.and_then(|own| own.deadline).unwrap_or(deadline),
            bounds: own.map_or(self.bounds, |own| own.bounds),
            settings: own.map(|own| own.settings.clone()).unwrap_or_default(),
        }
    }
}

pub(super) fn policies(section: &mut Section<'_>, base: Option<&PoliciesConfig>) -> Option<PoliciesConfig> {
    let dir = or(section, "dir", base.map(|base| base.dir.clone()), parsed(directory));
    let retry_deadline = or(section, "retry_deadline", base.map(|base| base.retry_deadline), time);
    let alert_deadline = or(section, "alert_deadline", base.map(|base| base.alert_deadline), time);
    let admit_deadline = or(section, "admit_deadline", base.map(|base| base.admit_deadline), time);
    let bounds = bounds(section, base.map(|base| base.bounds));
    let max_faults = or(section, "max_faults", base.map(|base| base.max_faults.into()), integer(1..=1_000_000));
    let fault_window = or(section, "fault_window", base.map(|base| base.fault_window), time);
    let cache = section.optional("cache", parsed(directory)).or_else(|| base.and_then(|base| base.cache.clone()));
    let cache_size = or(section, "cache_size", base.map(|base| base.cache_size), parsed(size));
    Some(PoliciesConfig {
        dir: dir?,
        retry_deadline: retry_deadline?,
        alert_deadline: alert_deadline?,
        admit_deadline: admit_deadline?,
        bounds: bounds?,
        max_faults: u32::try_from(max_faults?).ok()?,
        fault_window: fault_window?,
        cache,
        cache_size: cache_size?,
        each: base.map(|base| base.each.clone()).unwrap_or_default(),
    })
}

fn bounds(section: &mut Section<'_>, base: Option<Bounds>) -> Option<Bounds> {
    let count = |number: usize| number as u64;
    let max_memory = or(section, "max_memory", base.map(|base| base.max_memory), parsed(memory));
    let max_table = or(section, "max_table", base.map(|base| count(base.max_table)), integer(1..=1_000_000));
    let max_instances = or(section, "max_instances", base.map(|base| count(base.max_instances)), integer(1..=256));
    let names = [("reuse", Isolation::Reuse), ("fresh", Isolation::Fresh)];
    let isolation = or(section, "isolation", base.map(|base| base.isolation), choice(&names));
    let max_operations = or(section, "max_operations", base.map(|base| base.max_operations), integer(1..=u64::MAX));
    let max_depth = or(section, "max_depth", base.map(|base| count(base.max_depth)), integer(1..=32));
    let max_text = or(section, "max_text", base.map(|base| base.max_text as u64), parsed(size));
    let max_items = or(section, "max_items", base.map(|base| count(base.max_items)), integer(1..=1_024));
    Some(Bounds {
        max_memory: max_memory?,
        max_table: usize::try_from(max_table?).ok()?,
        max_instances: usize::try_from(max_instances?).ok()?,
        isolation: isolation?,
        max_operations: max_operations?,
        max_depth: usize::try_from(max_depth?).ok()?,
        max_text: usize::try_from(max_text?).ok()?,
        max_items: usize::try_from(max_items?).ok()?,
    })
}

/// Reads `[policy.NAME]`; what it leaves out is as for all policies.
pub(super) fn policy(name: &Text, section: &mut Section<'_>, all: Bounds) -> Option<PolicyConfig> {
    let known = name.value.split_once('/').is_some_and(|(kind, rest)| KINDS.contains(&kind) && !rest.is_empty());
    if !known || Path::new(&name.value).extension().is_some() {
        let expected = "expected a file of the policies directory without its ending, as in [policy.\"retry/taobao\"]";
        section.refuse(expected);
    }
    let deadline = section.optional("deadline", time);
    let bounds = bounds(section, Some(all));
    let settings = section.values("settings", scalar);
    Some(PolicyConfig { deadline, bounds: bounds?, settings })
}

fn directory(text: &str) -> Result<PathBuf, &'static str> {
    if text.is_empty() { Err("expected the path of a directory") } else { Ok(PathBuf::from(text)) }
}

fn bytes(text: &str) -> Option<u64> {
    [("KiB", 10), ("MiB", 20), ("GiB", 30)].into_iter().find_map(|(unit, shift)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(1 << shift)
    })
}

fn memory(text: &str) -> Result<usize, String> {
    let fitting = bytes(text).filter(|bytes| (WASM_PAGE..=WASM_MOST).contains(bytes));
    let fitting = fitting.and_then(|bytes| usize::try_from(bytes).ok());
    fitting.ok_or_else(|| format!("expected a size from \"64KiB\" to \"4GiB\" such as \"16MiB\", not {text:?}"))
}

pub(super) fn size(text: &str) -> Result<u64, String> {
    let size = bytes(text).filter(|bytes| *bytes > 0);
    size.ok_or_else(|| format!("expected a size such as \"64KiB\" or \"256MiB\", not {text:?}"))
}
