//! Every name that a script may use.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use rhai::Engine;
use tidegate_core::{Class, Stats};

/// What a value is, as far as a script's text tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number with a fraction, as all inputs are.
    Number,
    /// A whole number, as `5` in a script is.
    Whole,
    /// A text.
    Text,
    /// A whole number on purpose, as `to_int` makes one: dividing it may well mean to drop the fraction.
    Rounded,
    /// True or false.
    Truth,
    /// What `window` answers.
    Window,
    /// What `limit` answers.
    Limit,
    /// What `retry`, `give_up`, `allow`, `deny` and `abstain` answer.
    Verdict,
}

/// What the scripts of one kind see besides the language.
pub struct Contract {
    /// The variables.
    pub inputs: Vec<(&'static str, Kind)>,
    /// The functions, with how many arguments they take.
    pub functions: Vec<(&'static str, RangeInclusive<usize>)>,
}

/// What scripts of every kind see.
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

/// Reads one figure of a window.
pub type Figure = fn(&Stats) -> f64;

/// The figures of a window: variables of an alert script, and properties of what `window` answers.
#[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub const FIGURES: [(&str, Figure); 12] = [
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

/// The properties of what `limit` answers.
pub const LEVELS: [&str; 4] = ["available", "burst", "rate", "full_in_ms"];

/// The values that `kind` takes.
pub const KINDS: [&str; 3] = ["timeout", "connection", "response"];

/// The classes of failures by name.
pub const CLASSES: [(&str, Class); 5] = [
    ("throttled", Class::Throttled),
    ("quota", Class::Quota),
    ("transient", Class::Transient),
    ("auth", Class::Auth),
    ("permanent", Class::Permanent),
];

impl Contract {
    /// What a retry script sees.
    pub fn retry() -> Self {
        let texts = ["platform", "endpoint", "kind", "code", "sub_code", "message"].map(|name| (name, Kind::Text));
        let numbers = ["attempt", "elapsed_ms", "at_ms", "status", "retry_after_ms"].map(|name| (name, Kind::Number));
        let functions = [COMMON_FUNCTIONS.as_slice(), &RETRY_FUNCTIONS].concat();
        Self { inputs: [texts.as_slice(), &numbers].concat(), functions }
    }

    /// What an alert script sees.
    pub fn alert() -> Self {
        let texts = ["platform", "endpoint"].map(|name| (name, Kind::Text));
        let figures = FIGURES.map(|(name, _)| (name, Kind::Number));
        Self { inputs: [texts.as_slice(), &figures].concat(), functions: COMMON_FUNCTIONS.to_vec() }
    }

    /// What an admission script sees.
    pub fn admit() -> Self {
        let texts = ["platform", "endpoint", "method"].map(|name| (name, Kind::Text));
        let functions = [COMMON_FUNCTIONS.as_slice(), &ADMIT_FUNCTIONS].concat();
        Self { inputs: [texts.as_slice(), &[("at_ms", Kind::Number)]].concat(), functions }
    }

    /// Whether `name` is a function that only the scripts of other kinds see.
    pub fn is_foreign(&self, name: &str) -> bool {
        let known = |functions: &[(&str, _)]| functions.iter().any(|(known, _)| *known == name);
        !known(&self.functions) && (known(&RETRY_FUNCTIONS) || known(&ADMIT_FUNCTIONS))
    }
}

/// The functions of an engine, with the numbers of arguments they take; a property `x` is `get$x`.
pub type Functions = BTreeMap<String, BTreeSet<usize>>;

/// Asks the engine for its functions.
pub fn functions(engine: &Engine) -> Functions {
    let mut functions = Functions::new();
    let all =
        engine.collect_fn_metadata(None, |info| Some((info.metadata.name.to_string(), info.metadata.num_params)), true);
    for (name, arity) in all {
        functions.entry(name).or_default().insert(arity);
    }
    functions
}
