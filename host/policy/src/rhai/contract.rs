//! The variables, functions and properties that a script of each kind can use.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use rhai::Engine;
use tidegate_core::Stats;

use crate::paths::PolicyKind;

/// The type of a value, as far as the source of a script determines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// A floating-point number. All numeric inputs have this type.
    Number,
    /// An integer such as the literal `5`.
    Integer,
    /// A string.
    String,
    /// An integer that the script converts explicitly, for example with `to_int`. Dividing it is not reported, because
    /// dropping the fraction is probably intended.
    ExplicitInteger,
    /// A boolean.
    Bool,
    /// The result of `window`.
    Window,
    /// The result of `limit`.
    Limit,
    /// The result of `retry`, `give_up`, `allow`, `deny` or `abstain`.
    Verdict,
}

impl ValueType {
    /// Returns whether Rhai compares values of the two types by value.
    pub(super) fn compares_with(self, other: Self) -> bool {
        self == other || self.is_number() && other.is_number()
    }

    /// Returns whether the type is a number.
    pub(super) const fn is_number(self) -> bool {
        matches!(self, Self::Number | Self::Integer | Self::ExplicitInteger)
    }

    /// Returns the name of the type with its article, as messages show it.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Number | Self::Integer | Self::ExplicitInteger => "a number",
            Self::String => "a string",
            Self::Bool => "a boolean",
            Self::Window => "a window",
            Self::Limit => "a limit",
            Self::Verdict => "a verdict",
        }
    }
}

/// What tidegate adds to the language for the scripts of one kind.
#[derive(Clone, Debug)]
pub struct Contract {
    /// The input variables with their types.
    pub inputs: Vec<(&'static str, ValueType)>,
    /// The functions with the numbers of arguments that they accept.
    pub functions: Vec<(&'static str, RangeInclusive<usize>)>,
}

/// The functions of scripts of every kind.
const COMMON_FUNCTIONS: [(&str, RangeInclusive<usize>); 4] =
    [("window", 1..=1), ("limit", 1..=1), ("log", 1..=1), ("setting", 2..=2)];
const RETRY_FUNCTIONS: [(&str, RangeInclusive<usize>); 7] = [
    ("retry", 1..=3),
    ("give_up", 1..=3),
    ("abstain", 0..=1),
    ("header", 1..=1),
    ("seconds_in", 1..=1),
    ("epoch_ms", 1..=1),
    ("day_ends_in_ms", 2..=2),
];
const ADMIT_FUNCTIONS: [(&str, RangeInclusive<usize>); 5] =
    [("allow", 0..=2), ("deny", 1..=2), ("abstain", 0..=1), ("header", 1..=1), ("label", 1..=1)];

/// Reads one statistic of a window.
pub type StatGetter = fn(&Stats) -> f64;

/// The statistics of a window: the variables of an alert script, and the properties of the result of `window`.
#[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub const STATS: [(&str, StatGetter); 12] = [
    ("count", |stats| stats.count as f64),
    ("success", |stats| stats.success as f64),
    ("errors", |stats| stats.errors as f64),
    ("limited", |stats| stats.limited as f64),
    ("total_ms", |stats| stats.total_ms),
    ("error_rate", |stats| stats.error_rate),
    ("success_rate", |stats| stats.success_rate),
    ("limited_rate", |stats| stats.limited_rate),
    ("rps", |stats| stats.rps),
    ("p50", |stats| stats.p50),
    ("p95", |stats| stats.p95),
    ("p99", |stats| stats.p99),
];

/// The properties of the result of `limit`.
pub const LIMIT_FIELDS: [&str; 4] = ["available", "burst", "rate", "full_in_ms"];

impl Contract {
    /// Returns the contract of the scripts of one kind.
    #[must_use]
    pub fn for_kind(kind: PolicyKind) -> Self {
        match kind {
            PolicyKind::Retry => Self::retry(),
            PolicyKind::Alert => Self::alert(),
            PolicyKind::Admit => Self::admit(),
        }
    }

    fn retry() -> Self {
        let strings = ["platform", "endpoint", "kind", "code", "sub_code", "message", "body"];
        let strings = strings.map(|name| (name, ValueType::String));
        let numbers = ["attempt", "elapsed_ms", "at_ms", "status", "retry_after_ms"];
        let numbers = numbers.map(|name| (name, ValueType::Number));
        let functions = [COMMON_FUNCTIONS.as_slice(), &RETRY_FUNCTIONS].concat();
        Self { inputs: [strings.as_slice(), &numbers].concat(), functions }
    }

    fn alert() -> Self {
        let strings = ["platform", "endpoint"].map(|name| (name, ValueType::String));
        let stats = STATS.map(|(name, _)| (name, ValueType::Number));
        Self { inputs: [strings.as_slice(), &stats].concat(), functions: COMMON_FUNCTIONS.to_vec() }
    }

    fn admit() -> Self {
        let strings = ["platform", "endpoint", "method"].map(|name| (name, ValueType::String));
        let functions = [COMMON_FUNCTIONS.as_slice(), &ADMIT_FUNCTIONS].concat();
        Self { inputs: [strings.as_slice(), &[("at_ms", ValueType::Number)]].concat(), functions }
    }

    /// Returns whether `name` is a tidegate function that only scripts of other kinds can call.
    pub(crate) fn is_foreign(&self, name: &str) -> bool {
        let known = |functions: &[(&str, _)]| functions.iter().any(|(known, _)| *known == name);
        !known(&self.functions) && (known(&RETRY_FUNCTIONS) || known(&ADMIT_FUNCTIONS))
    }
}

/// The functions of an engine with the numbers of arguments that they accept; the property `x` is the function
/// `get$x`.
pub type FunctionArities = BTreeMap<String, BTreeSet<usize>>;

/// Returns all functions of an engine.
pub fn functions(engine: &Engine) -> FunctionArities {
    let mut functions = FunctionArities::new();
    let all =
        engine.collect_fn_metadata(None, |info| Some((info.metadata.name.to_string(), info.metadata.num_params)), true);
    for (name, arity) in all {
        functions.entry(name).or_default().insert(arity);
    }
    functions
}
