//! `[policies]` and `[policy.NAME]`: the policy directory, and the deadlines, limits and settings of policies.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reader::{Section, SpannedString, integer, parsed, positive_duration, scalar};
use super::validate::{Check, above_zero, require, within};

/// The page size of a Wasm memory, in bytes.
const WASM_PAGE: u64 = 64 << 10;
/// The maximum size of a Wasm memory with 32-bit addresses, in bytes.
const MAX_WASM_MEMORY: u64 = 4 << 30;
/// The valid values of the limits.
const MAX_TABLE_ELEMENTS: RangeInclusive<u64> = 1..=1_000_000;
const MAX_INSTANCES: RangeInclusive<u64> = 1..=256;
const MAX_CALL_DEPTH: RangeInclusive<u64> = 1..=32;
const MAX_COLLECTION_SIZE: RangeInclusive<u64> = 1..=1_024;
/// What is expected of a directory.
const DIRECTORY_RULE: &str = "expected a directory path";
/// What is expected of the name of a section `[policy.NAME]`.
const POLICY_RULE: &str = "expected the path of a policy without its extension, such as [policy.\"retry/taobao\"]";
/// The subdirectories of the policy directory, one for each kind of policy.
const KINDS: [&str; 3] = ["retry", "alerts", "admit"];

/// The sections `[policies]` and `[policy.NAME]`: the policy directory, and the limits and settings of policies.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PoliciesConfig {
    /// The policy directory, relative to the configuration file.
    pub dir: PathBuf,
    /// The deadline of one evaluation of a retry policy.
    pub retry_deadline: Duration,
    /// The deadline of one evaluation of an alert condition.
    pub alert_deadline: Duration,
    /// The deadline of one evaluation of an admission policy.
    pub admit_deadline: Duration,
    /// The limits of a policy that has no limits of its own.
    pub limits: PolicyLimits,
    /// The number of faults within `fault_window` that quarantine a policy until its file changes.
    pub max_faults: u32,
    /// The time within which `max_faults` faults quarantine a policy.
    pub fault_window: Duration,
    /// The cache directory for compiled components, relative to the configuration file. Without it, components are
    /// compiled at every start.
    pub cache: Option<PathBuf>,
    /// The maximum size of the cache, in bytes.
    pub cache_size: u64,
    /// The configuration of single policies, by file name without extension, such as `retry/taobao`.
    pub overrides: BTreeMap<String, PolicyConfig>,
}

/// The resources that a policy may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyLimits {
    /// The maximum memory of a Wasm instance, in bytes.
    pub max_memory: usize,
    /// The maximum number of elements of a Wasm table.
    pub max_table_elements: usize,
    /// The maximum number of Wasm instances that exist at the same time.
    pub max_instances: usize,
    /// Whether a Wasm instance serves more than one evaluation.
    pub isolation: Isolation,
    /// The maximum number of operations in one evaluation of a Rhai script.
    pub max_operations: u64,
    /// The maximum depth of nested function calls in a Rhai script.
    pub max_call_depth: usize,
    /// The maximum size of a string that a Rhai script creates, in bytes.
    pub max_string_size: usize,
    /// The maximum number of elements of an array or a map in a Rhai script.
    pub max_collection_size: usize,
}

/// Whether an evaluation can read the state that earlier evaluations left in a Wasm instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isolation {
    /// An instance serves many evaluations.
    #[default]
    Reuse,
    /// Every evaluation gets a new instance.
    Fresh,
}

crate::text_enum!(Isolation { Reuse => "reuse", Fresh => "fresh" });

/// A section `[policy.NAME]`: the configuration of one policy.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PolicyConfig {
    /// The deadline, if it differs from the deadline for the kind of the policy.
    pub deadline: Option<Duration>,
    /// The limits.
    pub limits: PolicyLimits,
    /// The settings.
    pub settings: Settings,
}

/// The settings of a policy, by name. The policy defines and checks them.
pub type Settings = BTreeMap<String, Setting>;

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// A boolean.
    Flag(bool),
    /// A number.
    Number(f64),
    /// A string.
    Text(String),
}

/// The configuration of one policy, with the values of `[policies]` where `[policy.NAME]` has none.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ResolvedPolicyConfig {
    /// The deadline of one evaluation.
    pub deadline: Duration,
    /// The limits.
    pub limits: PolicyLimits,
    /// The settings.
    pub settings: Settings,
}

impl PolicyConfig {
    /// Creates the configuration of a policy with these limits, the deadline for its kind and no settings.
    #[must_use]
    pub const fn new(limits: PolicyLimits) -> Self {
        Self { deadline: None, limits, settings: Settings::new() }
    }

    /// Sets the deadline.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Adds a setting.
    #[must_use]
    pub fn with_setting(mut self, name: impl Into<String>, setting: Setting) -> Self {
        self.settings.insert(name.into(), setting);
        self
    }
}

impl PoliciesConfig {
    /// Sets the policy directory.
    #[must_use]
    pub fn with_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = dir.into();
        self
    }

    /// Sets the deadline of one evaluation, for policies of every kind.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.retry_deadline = deadline;
        self.alert_deadline = deadline;
        self.admit_deadline = deadline;
        self
    }

    /// Sets the number of faults within `fault_window` that quarantine a policy.
    #[must_use]
    pub fn with_max_faults(mut self, max_faults: u32) -> Self {
        self.max_faults = max_faults;
        self
    }

    /// Sets the cache directory for compiled components.
    #[must_use]
    pub fn with_cache(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cache = Some(dir.into());
        self
    }

    /// Sets the configuration of one policy, by its file name without extension, such as `retry/taobao`.
    #[must_use]
    pub fn with_override(mut self, name: impl Into<String>, policy: PolicyConfig) -> Self {
        self.overrides.insert(name.into(), policy);
        self
    }

    /// Returns the configuration of the policy in a file such as `retry/taobao.rhai`. The extension does not matter,
    /// and a candidate (`retry/taobao.candidate.rhai`) has the configuration of its policy.
    #[must_use]
    pub fn resolve(&self, path: &str) -> ResolvedPolicyConfig {
        let name = Path::new(path).with_extension("");
        let own = name.to_str().and_then(|name| self.overrides.get(name.trim_end_matches(".candidate")));
        let deadline = match path.split_once('/').map(|(kind, _)| kind) {
            Some("retry") => self.retry_deadline,
            Some("admit") => self.admit_deadline,
            _ => self.alert_deadline,
        };
        ResolvedPolicyConfig {
            deadline: own.and_then(|own| own.deadline).unwrap_or(deadline),
            limits: own.map_or(self.limits, |own| own.limits),
            settings: own.map(|own| own.settings.clone()).unwrap_or_default(),
        }
    }

    pub(super) fn check(&self) -> Check {
        require(!self.dir.as_os_str().is_empty(), "policies.dir", DIRECTORY_RULE)?;
        above_zero("policies.retry_deadline", self.retry_deadline)?;
        above_zero("policies.alert_deadline", self.alert_deadline)?;
        above_zero("policies.admit_deadline", self.admit_deadline)?;
        self.limits.check("policies")?;
        within("policies.max_faults", self.max_faults.into(), &(1..=u64::MAX))?;
        above_zero("policies.fault_window", self.fault_window)?;
        let cache = self.cache.as_ref();
        require(cache.is_none_or(|dir| !dir.as_os_str().is_empty()), "policies.cache", DIRECTORY_RULE)?;
        require(self.cache_size > 0, "policies.cache_size", "expected a size above zero")?;
        for (name, own) in &self.overrides {
            let key = format!("policy.{name:?}");
            require(is_policy_name(name), &key, POLICY_RULE)?;
            own.deadline.map_or(Ok(()), |deadline| above_zero(format!("{key}.deadline"), deadline))?;
            own.limits.check(&key)?;
        }
        Ok(())
    }
}

impl PolicyLimits {
    fn check(&self, key: &str) -> Check {
        let memory = self.max_memory as u64;
        let expected = format!("expected a size from 64KiB to 4GiB, found {memory} bytes");
        require((WASM_PAGE..=MAX_WASM_MEMORY).contains(&memory), format!("{key}.max_memory"), expected)?;
        within(format!("{key}.max_table_elements"), self.max_table_elements as u64, &MAX_TABLE_ELEMENTS)?;
        within(format!("{key}.max_instances"), self.max_instances as u64, &MAX_INSTANCES)?;
        within(format!("{key}.max_operations"), self.max_operations, &(1..=u64::MAX))?;
        within(format!("{key}.max_call_depth"), self.max_call_depth as u64, &MAX_CALL_DEPTH)?;
        require(self.max_string_size > 0, format!("{key}.max_string_size"), "expected a size above zero")?;
        within(format!("{key}.max_collection_size"), self.max_collection_size as u64, &MAX_COLLECTION_SIZE)
    }
}

/// Reads `[policies]` and every `[policy.NAME]`.
pub(super) fn read_policies(top: &mut Section<'_>) -> Option<PoliciesConfig> {
    let mut section = top.required_table("policies")?;
    let dir = section.required("dir", parsed(parse_directory));
    let [retry_deadline, alert_deadline, admit_deadline] =
        ["retry_deadline", "alert_deadline", "admit_deadline"].map(|key| section.required(key, positive_duration));
    let limits = read_limits(&mut section);
    let max_faults = section.required("max_faults", integer(1..=1_000_000));
    let fault_window = section.required("fault_window", positive_duration);
    let cache = section.optional("cache", parsed(parse_directory));
    let cache_size = section.required("cache_size", parsed(parse_size));
    let mut overrides = BTreeMap::new();
    for (name, mut own) in top.tables("policy") {
        own.inherit(&section);
        let policy = read_policy(&name, &mut own);
        overrides.extend(policy.map(|policy| (name.value, policy)));
    }
    Some(PoliciesConfig {
        dir: dir?,
        retry_deadline: retry_deadline?,
        alert_deadline: alert_deadline?,
        admit_deadline: admit_deadline?,
        limits: limits?,
        max_faults: u32::try_from(max_faults?).ok()?,
        fault_window: fault_window?,
        cache,
        cache_size: cache_size?,
        overrides,
    })
}

/// Reads the limits of `[policies]`, or of a section that inherits from it.
fn read_limits(section: &mut Section<'_>) -> Option<PolicyLimits> {
    let max_memory = section.required("max_memory", parsed(parse_memory_size));
    let max_table_elements = section.required("max_table_elements", integer(MAX_TABLE_ELEMENTS));
    let max_instances = section.required("max_instances", integer(MAX_INSTANCES));
    let isolation = section.required("isolation", parsed(str::parse::<Isolation>));
    let max_operations = section.required("max_operations", integer(1..=u64::MAX));
    let max_call_depth = section.required("max_call_depth", integer(MAX_CALL_DEPTH));
    let max_string_size = section.required("max_string_size", parsed(parse_size));
    let max_collection_size = section.required("max_collection_size", integer(MAX_COLLECTION_SIZE));
    Some(PolicyLimits {
        max_memory: max_memory?,
        max_table_elements: usize::try_from(max_table_elements?).ok()?,
        max_instances: usize::try_from(max_instances?).ok()?,
        isolation: isolation?,
        max_operations: max_operations?,
        max_call_depth: usize::try_from(max_call_depth?).ok()?,
        max_string_size: usize::try_from(max_string_size?).ok()?,
        max_collection_size: usize::try_from(max_collection_size?).ok()?,
    })
}

/// Reads `[policy.NAME]`, which inherits the limits of `[policies]`.
fn read_policy(name: &SpannedString, section: &mut Section<'_>) -> Option<PolicyConfig> {
    if !is_policy_name(&name.value) {
        section.reject(POLICY_RULE);
    }
    let deadline = section.optional("deadline", positive_duration);
    let limits = read_limits(section);
    let settings = section.values("settings", scalar);
    Some(PolicyConfig { deadline, limits: limits?, settings })
}

/// Returns whether a name is the path of a policy without its extension.
fn is_policy_name(name: &str) -> bool {
    let has_known_kind = name.split_once('/').is_some_and(|(kind, rest)| KINDS.contains(&kind) && !rest.is_empty());
    has_known_kind && Path::new(name).extension().is_none()
}

fn parse_directory(text: &str) -> Result<PathBuf, &'static str> {
    if text.is_empty() { Err(DIRECTORY_RULE) } else { Ok(PathBuf::from(text)) }
}

fn parse_bytes(text: &str) -> Option<u64> {
    [("KiB", 10), ("MiB", 20), ("GiB", 30)].into_iter().find_map(|(unit, shift)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(1 << shift)
    })
}

fn parse_memory_size(text: &str) -> Result<usize, String> {
    let size = parse_bytes(text).filter(|bytes| (WASM_PAGE..=MAX_WASM_MEMORY).contains(bytes));
    let size = size.and_then(|bytes| usize::try_from(bytes).ok());
    size.ok_or_else(|| format!("expected a size from \"64KiB\" to \"4GiB\" such as \"16MiB\", found {text:?}"))
}

pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let size = parse_bytes(text).filter(|bytes| *bytes > 0);
    size.ok_or_else(|| format!("expected a size such as \"64KiB\" or \"256MiB\", found {text:?}"))
}
